"""Poses from an odometry topic."""

from __future__ import annotations

from typing import Any

from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_source import BufferedPoses
from kdmos_ros.ros.messages import frame_of, pose_matrix, stamp_ns
from kdmos_ros.throttled_log import ThrottledLog


class OdometrySource(BufferedPoses):
    """Collects nav_msgs/Odometry; `base_frame` is the child frame of the newest message."""

    def __init__(self, buffer: PoseBuffer, statistics: Statistics, log: ThrottledLog) -> None:
        super().__init__(buffer)
        self._known = False
        self._statistics = statistics
        self._log = log

    def receive(self, message: Any) -> None:
        """Callback of the subscription."""
        frames = frame_of(message.header.frame_id), frame_of(message.child_frame_id)
        if self._known and frames != (self.fixed_frame, self.base_frame):
            why = f"the odometry's frames are now {frames[0]} -> {frames[1]}"
            self._log.warning("odom_frames", why)
            self.buffer.clear(why)
        self._known, self.fixed_frame, self.base_frame = True, *frames
        try:
            pose = pose_matrix(message.pose.pose)
            notice = self.buffer.add(stamp_ns(message.header.stamp), pose)
            if notice:
                self._log.warning("odometry", notice)
        except ValueError as error:
            self._statistics.event("bad_odometry")
            self._log.error("bad_odometry", f"odometry ignored: {error}")
