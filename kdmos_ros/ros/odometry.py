"""Poses from an odometry topic."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.poses import PoseBuffer
from kdmos_ros.ros.messages import frame_of, pose_matrix, stamp_ns
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.throttle import ThrottledLog


class OdometrySource:
    """Collects nav_msgs/Odometry; the PoseSource of the pipeline.

    Attributes:
        buffer: the poses T_odom_base.
        base_frame: child frame of the newest message.
    """

    def __init__(self, buffer: PoseBuffer, statistics: Statistics, log: ThrottledLog) -> None:
        self.buffer = buffer
        self.base_frame = ""
        self._fixed_frame: str | None = None
        self._statistics = statistics
        self._log = log

    def receive(self, message: Any) -> None:
        """Callback of the subscription."""
        frames = frame_of(message.header.frame_id), frame_of(message.child_frame_id)
        if self._fixed_frame is not None and frames != (self._fixed_frame, self.base_frame):
            self._log.warning("odom_frames", f"odometry is now {frames[0]} -> {frames[1]}")
            self.buffer.clear()
        self._fixed_frame, self.base_frame = frames
        try:
            self.buffer.add(stamp_ns(message.header.stamp), pose_matrix(message.pose.pose))
        except ValueError as error:
            self._statistics.event("bad_odometry")
            self._log.error("bad_odometry", f"odometry ignored: {error}")

    def wait(self, stamp: int, timeout_s: float) -> tuple[npt.NDArray[np.float64], int]:
        """See PoseBuffer.wait."""
        return self.buffer.wait(stamp, timeout_s)

    def rewind(self, stamp: int) -> None:
        """See PoseBuffer.rewind."""
        self.buffer.rewind(stamp)
