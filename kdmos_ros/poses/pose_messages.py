"""Poses out of ROS messages of every usual type, as rclpy or rosbags gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.poses.buffer import RESTART_NS

Matrix = npt.NDArray[np.float64]

ODOMETRY = "nav_msgs/msg/Odometry"
PATH = "nav_msgs/msg/Path"
POSE_TYPES = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
    PATH,
)
"""Message types that poses can be read from, that of choice first."""
_SECOND_NS = 1_000_000_000


class StampedPose(NamedTuple):
    """T_parent_child (4, 4) at a stamp in ns; no child: the message names none."""

    stamp_ns: int
    parent: str
    child: str
    pose: Matrix


class PoseReader:
    """Reads the poses of one topic.

    Args:
        broken: told the stamp (ns) of each broken pose (zero quaternion, NaN) and what is wrong
            with it; the pose is left out.
        base_frame: what poses are of where the message names no child frame, except for an
            Odometry, which should name it.
    """

    def __init__(self, broken: Callable[[int, str], None], base_frame: str) -> None:
        self._broken = broken
        self._base_frame = base_frame
        self._newest_ns: int | None = None

    def read(self, message: Any, msgtype: str) -> Iterator[StampedPose]:
        """The new poses of a message of one of POSE_TYPES."""
        if msgtype == PATH:
            yield from self._new_of_path(message)
        elif (found := self._checked(message, message.header.frame_id)) is not None:
            named = found.child or msgtype == ODOMETRY
            yield found if named else found._replace(child=self._base_frame)

    def _new_of_path(self, path: Any) -> Iterator[StampedPose]:
        """A path is sent anew with each pose that is added to its end."""
        poses = path.poses
        if not len(poses):
            return
        newest_ns = self._newest_ns
        last_ns = stamp_ns_of(poses[-1].header)
        if newest_ns is not None and last_ns < newest_ns - RESTART_NS:
            newest_ns = None
        first = len(poses)
        while first and (newest_ns is None or stamp_ns_of(poses[first - 1].header) > newest_ns):
            first -= 1
        for pose in poses[first:]:
            self._newest_ns = stamp_ns_of(pose.header)
            if (found := self._checked(pose, path.header.frame_id)) is not None:
                yield found._replace(child=self._base_frame)

    def _checked(self, message: Any, parent: str) -> StampedPose | None:
        at_ns = stamp_ns_of(message.header)
        try:
            pose = place_of(message)
        except ValueError as error:
            self._broken(at_ns, str(error))
            return None
        child = frame_of(getattr(message, "child_frame_id", ""))
        return StampedPose(at_ns, frame_of(message.header.frame_id or parent), child, pose)


def place_of(message: Any) -> Matrix:
    """The pose (4, 4) in a message with a pose, or with a transform.

    Raises:
        ValueError: the quaternion is zero, or a number is not finite.
    """
    if hasattr(message, "transform"):
        t, q = message.transform.translation, message.transform.rotation
    else:
        pose = message.pose
        pose = pose.pose if hasattr(pose, "pose") else pose
        t, q = pose.position, pose.orientation
    return from_pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return int(stamp.sec) * _SECOND_NS + int(stamp.nanosec)


def stamp_ns_of(header: Any) -> int:
    """Nanoseconds of a message header's stamp."""
    return stamp_ns(header.stamp)


def frame_of(name: str) -> str:
    """A frame id as tf2 knows it: tf dropped leading slashes, some drivers did not."""
    return name.lstrip("/")
