"""Which poses of a bag are used where the user leaves it open, as by the node (`auto_poses.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kdmos_ros.defaults import AUTO, frames_to_try
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import POINT_CLOUD, BagError, BagFile, Topic
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.poses.kiss_source import load_kiss_icp
from kdmos_ros.poses.pose_messages import ODOMETRY, PATH, POSE_TYPES

# What the node listens to.
_USUAL_TOPIC = "/odom"
# Goals and estimates at start are rare; poses of the robot come about as often as its clouds.
_FEWEST_FOR_A_CLOUD = 0.5


class PoseChoice(NamedTuple):
    """What is used.

    Attributes:
        source: one of `defaults.POSE_SOURCES`, never auto.
        topic: of the odometry, or empty.
        fixed_frame: for the source tf, else empty.
        note: what the user should know of it, one line, or empty.
    """

    source: str
    topic: str = ""
    fixed_frame: str = ""
    note: str = ""


def choose_poses(
    bag: BagFile,
    source: str,
    topic: str | None,
    fixed_frame: str,
    cloud: tuple[str, str],
    transforms: Callable[[], BagTransforms],
) -> PoseChoice:
    """The poses to use. What the user has chosen is used or is an error.

    Args:
        source: one of `defaults.POSE_SOURCES`.
        topic: of the poses, by the user; None: to be found.
        fixed_frame: with the source auto, others are looked for if it is the default.
        cloud: topic and frame of the clouds.
        transforms: reads those of the bag.

    Raises:
        BagError: there are no poses to use; the line names the remedies.
    """
    if source == "odometry" or (source == AUTO and topic is not None):
        return _odometry(bag, topic)
    if source == "tf":
        return PoseChoice("tf", fixed_frame=fixed_frame)
    if source != AUTO:
        return PoseChoice(source)
    if any(t.msgtype == ODOMETRY and t.count for t in bag.topics):
        return _odometry(bag, None)
    moving = transforms().fixed_frame(cloud[1], frames_to_try(fixed_frame))
    if moving:
        why = f"no odometry topic: poses are taken from /tf, {moving} -> {cloud[1]}"
        return PoseChoice("tf", fixed_frame=moving, note=why)
    return _other_topic(bag, cloud[0]) or _from_clouds(bag)


def _odometry(bag: BagFile, wanted: str | None) -> PoseChoice:
    name = "/" + (wanted or "").strip("/")
    msgtype = next((t.msgtype for t in bag.topics if t.name == name), ODOMETRY)
    if msgtype not in POSE_TYPES:
        msgtype = ODOMETRY
    filled = [t.name for t in bag.topics if t.msgtype == ODOMETRY and t.count]
    note = ""
    if wanted is None and len(filled) > 1 and _USUAL_TOPIC in filled:
        wanted = _USUAL_TOPIC
        others = ", ".join(name for name in filled if name != wanted)
        note = f"poses are taken from {wanted}, as by the node; --odom chooses another: {others}"
    return PoseChoice("odometry", bag.choose_topic(msgtype, wanted, "--odom"), note=note)


def _other_topic(bag: BagFile, cloud_topic: str) -> PoseChoice | None:
    """The one topic of another type that has a pose for about every cloud."""
    clouds = sum(t.count for t in bag.topics if t.name == cloud_topic)
    # A Path may be a plan.
    found = [
        t
        for t in bag.topics
        if t.msgtype in POSE_TYPES
        and t.msgtype != PATH
        and t.count >= max(2, _FEWEST_FOR_A_CLOUD * clouds)
    ]
    if not found:
        return None
    if len(found) > 1:
        raise BagError(
            f"{bag.path}: no {ODOMETRY} topic, but several with poses: choose one with --odom"
            f" ({_listed(found)}), or --pose-source kiss_icp"
        )
    (topic,) = found
    why = f"no {ODOMETRY} topic: poses are taken from {_listed(found)}"
    return PoseChoice("odometry", topic.name, note=why)


def _from_clouds(bag: BagFile) -> PoseChoice:
    if bag.misfits:
        raise BagError(f"{bag.path}: {bag.misfits}; or --pose-source kiss_icp")
    why = bag.no_poses or "no odometry topic, and nothing on /tf that moves the LiDAR"
    try:
        load_kiss_icp()
    except KdmosError:
        shown = [t for t in bag.topics if t.msgtype != POINT_CLOUD]
        raise BagError(
            f"{bag.path}: {why}: pip install kiss-icp, which makes poses from the clouds, or name"
            f" the topic of the poses with --odom (besides clouds, the bag has"
            f" {_listed(shown) or 'nothing'})"
        ) from None
    return PoseChoice("kiss_icp", note=f"{why}: KISS-ICP makes poses from the clouds")


def _listed(topics: list[Topic]) -> str:
    return ", ".join(f"{t.name} ({t.msgtype})" for t in topics)
