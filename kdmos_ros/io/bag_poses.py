"""Poses of a bag: odometry in every usual message type, and the transforms that never change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import ODOMETRY, TF, BagFile, RawMessage, decode_cdr
from kdmos_ros.io.bag_messages import stamp_ns_of

Matrix = npt.NDArray[np.float64]

TF_STATIC = "/tf_static"
BASE_FRAME = "base_link"  # REP-105
POSE_TYPES = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
    "nav_msgs/msg/Path",
)
"""Message types that poses can be read from, that of choice first."""


class StampedPose(NamedTuple):
    """T_parent_child (4, 4) at a stamp in ns; no child: the message names none."""

    stamp_ns: int
    parent: str
    child: str
    pose: Matrix


class BagPoses:
    """Reads the poses and static transforms of a bag, once.

    A broken pose (zero quaternion, NaN) is left out and counted, as the node does.

    Args:
        topic: of one of POSE_TYPES; empty: only static transforms are read.

    Attributes:
        odometry: (stamp in ns, T_fixed_base (4, 4)) in the order of recording.
        fixed_frame, base_frame: of the first pose; the base is `base_link` where it is not named,
            except for an Odometry, whose child frame should be.
        static: {(parent, child): T_parent_child} of /tf_static.
        ignored: broken messages by topic.
        why: what is wrong with the first of them, one line.
    """

    def __init__(self, bag: BagFile, topic: str) -> None:
        self.odometry: list[tuple[int, Matrix]] = []
        self.fixed_frame, self.base_frame = "", "" if topic else BASE_FRAME
        self.static: dict[tuple[str, str], Matrix] = {}
        self.ignored: Counter[str] = Counter()
        self.why = ""
        self._newest_ns: int | None = None
        for raw in bag.messages([*filter(None, [topic]), TF_STATIC]):
            if raw.topic == topic:
                self._add_poses(raw)
            elif raw.msgtype == TF:
                for transform in decode_cdr(raw).transforms:
                    if found := self._checked(raw, transform.header, transform):
                        self.static[found.parent, found.child] = found.pose

    def notes(self) -> list[str]:
        """What the user should know, a line each."""
        return [
            f"{count} broken {'pose' if count == 1 else 'poses'} of {topic} ignored ({self.why})"
            for topic, count in self.ignored.items()
        ]

    def _add_poses(self, raw: RawMessage) -> None:
        for found in self._poses(raw):
            if not self.odometry:
                named = found.child or raw.msgtype == ODOMETRY
                self.fixed_frame, self.base_frame = (
                    found.parent,
                    found.child if named else BASE_FRAME,
                )
            self.odometry.append((found.stamp_ns, found.pose))

    def _poses(self, raw: RawMessage) -> Iterator[StampedPose]:
        message = decode_cdr(raw)
        if raw.msgtype != POSE_TYPES[-1]:
            if found := self._checked(raw, message.header, message):
                yield found
            return
        # A path is sent anew with each pose that is added to it.
        for pose in message.poses:
            stamp_ns = stamp_ns_of(pose.header)
            if self._newest_ns is None or stamp_ns > self._newest_ns:
                self._newest_ns = stamp_ns
                if found := self._checked(raw, pose.header, pose, message.header.frame_id):
                    yield found

    def _checked(
        self, raw: RawMessage, header: Any, message: Any, parent: str = ""
    ) -> StampedPose | None:
        position, orientation = _place(message)
        try:
            pose = transforms.from_pose(
                (position.x, position.y, position.z),
                (orientation.x, orientation.y, orientation.z, orientation.w),
            )
        except ValueError as error:
            self.ignored[raw.topic] += 1
            self.why = self.why or f"at {raw.stamp_ns} ns: {error}"
            return None
        child = frame_of(getattr(message, "child_frame_id", ""))
        return StampedPose(stamp_ns_of(header), frame_of(header.frame_id or parent), child, pose)


def frame_of(name: str) -> str:
    """A frame id as tf2 knows it: tf dropped leading slashes, some drivers did not."""
    return name.lstrip("/")


def chain(static: dict[tuple[str, str], Matrix], target: str, source: str) -> Matrix | None:
    """T_target_source along static transforms {(parent, child): T_parent_child}, or None.

    Links are followed in both directions, as tf2 does.
    """
    found = {target: np.eye(4)}
    frontier = [target]
    while frontier and source not in found:
        frame = frontier.pop()
        for (parent, child), link in static.items():
            if parent == frame and child not in found:
                found[child] = found[frame] @ link
                frontier.append(child)
            elif child == frame and parent not in found:
                found[parent] = found[frame] @ transforms.invert(link)
                frontier.append(parent)
    return found.get(source)


def _place(message: Any) -> tuple[Any, Any]:
    """Position and orientation of any of the types."""
    if hasattr(message, "transform"):
        return message.transform.translation, message.transform.rotation
    pose = message.pose
    pose = pose.pose if hasattr(pose, "pose") else pose
    return pose.position, pose.orientation
