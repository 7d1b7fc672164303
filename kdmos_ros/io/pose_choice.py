"""Which poses of a bag are used where the user leaves it open, as by the node (`auto_poses.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kdmos_ros.defaults import AUTO, FIXED_FRAMES, frames_to_try
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import POINT_CLOUD, BagError, BagFile, Topic, decode_cdr
from kdmos_ros.io.bag_poses import BASE_FRAME
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.poses.kiss_source import load_kiss_icp
from kdmos_ros.poses.pose_messages import ODOMETRY, PATH, POSE_TYPES, frame_of

# What the node listens to.
_USUAL_TOPIC = "/odom"
# These jump (REP-105).
_GLOBAL_FRAMES = ("map", "earth")
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


class Candidate(NamedTuple):
    """An Odometry topic, its frames, and whether its child frame leads to the LiDAR."""

    topic: str
    parent: str
    child: str
    leads: bool


class PoseChooser:
    """Chooses the poses of a bag.

    Args:
        cloud_topic, cloud_frame: of the clouds.
        has_mount: whether the user gives the LiDAR's mount.
        transforms: reads those of the bag.
    """

    def __init__(
        self,
        bag: BagFile,
        cloud_topic: str,
        cloud_frame: str,
        has_mount: bool,
        transforms: Callable[[], BagTransforms],
    ) -> None:
        self._bag = bag
        self._cloud_topic = cloud_topic
        self._cloud_frame = cloud_frame
        self._has_mount = has_mount
        # With a given mount, TF need not know the LiDAR's frame.
        self._placed_frame = BASE_FRAME if has_mount else cloud_frame
        self._transforms = transforms

    def choose(self, source: str, topic: str | None, fixed_frame: str) -> PoseChoice:
        """The poses to use. What the user has chosen is used or is an error.

        Args:
            source: one of `defaults.POSE_SOURCES`.
            topic: of the poses, by the user; None: to be found.
            fixed_frame: with the source auto, others are looked for if it is the default.

        Raises:
            BagError: there are no poses to use; the line names the remedies.
        """
        if source == "odometry" or (source == AUTO and topic is not None):
            return self._odometry(topic)
        if source == "tf":
            self._check_frame(fixed_frame)
            return PoseChoice("tf", fixed_frame=fixed_frame)
        if source != AUTO:
            return PoseChoice(source)
        names = frames_to_try(fixed_frame)
        if any(t.msgtype == ODOMETRY and t.count for t in self._bag.topics):
            return self._from_odometry(names)
        from_tf = self._from_tf(names, "no odometry topic")
        return from_tf or self._other_topic() or self._from_clouds()

    def _check_frame(self, fixed_frame: str) -> None:
        if self._transforms().fixed_frame(self._placed_frame, (fixed_frame,)):
            return
        if other := self._transforms().fixed_frame(self._placed_frame, FIXED_FRAMES):
            raise BagError(
                f"{self._bag.path}: no {fixed_frame} on /tf in which {self._placed_frame} moves,"
                f" but {other}: give it with --fixed-frame {other}"
            )

    def _odometry(self, wanted: str | None, note: str = "") -> PoseChoice:
        name = "/" + (wanted or "").strip("/")
        msgtype = next((t.msgtype for t in self._bag.topics if t.name == name), ODOMETRY)
        if msgtype not in POSE_TYPES:
            msgtype = ODOMETRY
        topic = self._bag.choose_topic(msgtype, wanted, "--odom")
        return PoseChoice("odometry", topic, note=note)

    def _from_odometry(self, names: Sequence[str]) -> PoseChoice:
        """The Odometry topic that leads to the LiDAR, or TF where none or several do."""
        found = [
            self._candidate(t.name) for t in self._bag.topics if t.msgtype == ODOMETRY and t.count
        ]
        good = [c for c in found if c.leads]
        usual = [c for c in good if c.topic == _USUAL_TOPIC]
        smooth = [c for c in good if c.parent not in _GLOBAL_FRAMES]
        for best in (good, usual, smooth):
            if len(best) == 1:
                others = ", ".join(c.topic for c in found if c.topic != best[0].topic)
                note = f"poses are taken from {best[0].topic}; --odom chooses another: {others}"
                return self._odometry(best[0].topic, note if others else "")
        listed = ", ".join(f"{c.topic}, child frame {c.child or 'not named'}" for c in found)
        what = "several odometry topics lead" if good else "no odometry topic leads"
        from_tf = self._from_tf(names, f"{what} to the LiDAR ({listed})")
        return from_tf or self._odometry(None)

    def _candidate(self, topic: str) -> Candidate:
        first = decode_cdr(next(self._bag.messages([topic])))
        parent, child = frame_of(first.header.frame_id), frame_of(first.child_frame_id)
        leads = self._has_mount or child == self._cloud_frame
        leads = leads or (bool(child) and self._transforms().connects(child, self._cloud_frame))
        return Candidate(topic, parent, child, leads)

    def _from_tf(self, names: Sequence[str], why: str) -> PoseChoice | None:
        fixed = self._transforms().fixed_frame(self._placed_frame, names)
        if not fixed:
            return None
        note = f"{why}: poses are taken from /tf, {fixed} -> {self._placed_frame}"
        return PoseChoice("tf", fixed_frame=fixed, note=note)

    def _other_topic(self) -> PoseChoice | None:
        """The one topic of another type that has a pose for about every cloud."""
        clouds = sum(t.count for t in self._bag.topics if t.name == self._cloud_topic)
        # A Path may be a plan.
        found = [
            t
            for t in self._bag.topics
            if t.msgtype in POSE_TYPES
            and t.msgtype != PATH
            and t.count >= max(2, _FEWEST_FOR_A_CLOUD * clouds)
        ]
        if not found:
            return None
        if len(found) > 1:
            raise BagError(
                f"{self._bag.path}: no {ODOMETRY} topic, but several with poses: choose one with"
                f" --odom ({_listed(found)}), or --pose-source kiss_icp"
            )
        (topic,) = found
        why = f"no {ODOMETRY} topic: poses are taken from {_listed(found)}"
        return PoseChoice("odometry", topic.name, note=why)

    def _from_clouds(self) -> PoseChoice:
        if self._bag.misfits:
            raise BagError(f"{self._bag.path}: {self._bag.misfits}; or --pose-source kiss_icp")
        why = self._bag.no_poses or "no odometry topic, and nothing on /tf that moves the LiDAR"
        try:
            load_kiss_icp()
        except KdmosError:
            shown = [t for t in self._bag.topics if t.msgtype != POINT_CLOUD]
            raise BagError(
                f"{self._bag.path}: {why}: pip install kiss-icp, which makes poses from the clouds,"
                " or name the topic of the poses with --odom (besides clouds, the bag has"
                f" {_listed(shown) or 'nothing'})"
            ) from None
        return PoseChoice("kiss_icp", note=f"{why}: KISS-ICP makes poses from the clouds")


def _listed(topics: Sequence[Topic]) -> str:
    return ", ".join(f"{t.name} ({t.msgtype})" for t in topics)
