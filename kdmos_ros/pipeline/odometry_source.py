"""Poses from a topic: odometry, or a pose or transform with a stamp."""

from __future__ import annotations

from typing import Any

from kdmos_ros.errors import PoseError
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.buffer import FoundPose, PoseBuffer
from kdmos_ros.poses.pose_messages import PoseReader, StampedPose
from kdmos_ros.poses.pose_source import BufferedPoses
from kdmos_ros.throttled_log import ThrottledLog


class OdometrySource(BufferedPoses):
    """Collects poses of one topic; `base_frame` is the child frame of the newest message.

    Args:
        topic: name, for messages.
        base_frame: what the poses are of where a message names no child frame.
        named_by_user: whether the topic is a choice, not the default.
    """

    def __init__(
        self,
        buffer: PoseBuffer,
        topic: str,
        base_frame: str,
        statistics: Statistics,
        log: ThrottledLog,
        named_by_user: bool = False,
    ) -> None:
        super().__init__(buffer)
        self.topic = topic
        self.named_by_user = named_by_user
        self._known = False
        self._reader = PoseReader(self._ignore, base_frame)
        self._statistics = statistics
        self._log = log

    def receive(self, message: Any, msgtype: str) -> None:
        """Take the poses of a message of one of `pose_messages.POSE_TYPES`."""
        for found in self._reader.read(message, msgtype):
            self._add(found)

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseBuffer.wait."""
        try:
            return super().wait(stamp_ns, timeout_s)
        except PoseError as error:
            if self._known:
                raise
            raise PoseError(
                error.reason,
                f"{error} on {self.topic}: check that topic (launch argument odom), or set the "
                "parameter pose_source to tf or kiss_icp",
            ) from None

    def _add(self, found: StampedPose) -> None:
        frames = found.parent, found.child
        if self._known and frames != (self.fixed_frame, self.base_frame):
            why = f"the odometry's frames are now {frames[0]} -> {frames[1]}"
            self._log.warning("odom_frames", why)
            self.buffer.clear(why)
        self._known, self.fixed_frame, self.base_frame = True, *frames
        notice = self.buffer.add(found.stamp_ns, found.pose)
        if notice:
            self._log.warning("odometry", notice)

    def _ignore(self, stamp_ns: int, why: str) -> None:
        self._statistics.event("bad_odometry")
        self._log.error(
            "bad_odometry", f"a pose of {self.topic} at {stamp_ns} ns is ignored: {why}"
        )
