"""Poses of a bag, given out no earlier than the node would have had them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import PARAMETERS
from kdmos_ros.poses.buffer import RESTART_NS, FoundPose, PoseBuffer
from kdmos_ros.poses.kiss_source import KissSource, load_kiss_icp
from kdmos_ros.poses.pose_source import BufferedPoses, StampedCloud
from kdmos_ros.poses.timeline import near_ns
from kdmos_ros.throttled_log import ThrottledLog

Recorded = Sequence[tuple[int, npt.NDArray[np.float64]]]
_HISTORY_S, _MAX_GAP_S, _MAX_JUMP_M = (
    float(PARAMETERS[name]) for name in ("pose_history", "pose_max_gap", "pose_max_jump")
)


class RecordedPoses(BufferedPoses):
    """The PoseSource of a replay: the odometry up to the scan in work.

    Args:
        odometry: (stamp in ns, T_odom_base (4, 4)) in the order of recording.
        base_frame, fixed_frame: its child frame and its parent.
    """

    def __init__(self, odometry: Recorded, base_frame: str, fixed_frame: str = "") -> None:
        super().__init__(PoseBuffer(_HISTORY_S, _MAX_GAP_S, _MAX_JUMP_M), base_frame, fixed_frame)
        self._odometry = odometry
        self._next = 0
        self._newest: int | None = None
        self._spacing: int | None = None

    def observe(self, cloud: StampedCloud) -> None:
        """Take poses up to the first one that is at the cloud's stamp, or after it."""
        self.advance(cloud.stamp_ns)

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseSource; the node, too, waits for the poses that deskewing needs."""
        self.advance(stamp_ns)
        return super().wait(stamp_ns, timeout_s)

    def advance(self, stamp_ns: int) -> None:
        """Take poses up to the first one that is at the stamp (see `near_ns`), or after it."""
        while self._next < len(self._odometry):
            newest = self._newest
            in_this_run = newest is None or stamp_ns >= newest - RESTART_NS
            if newest is not None and in_this_run and newest >= stamp_ns - near_ns(self._spacing):
                return
            stamp, pose = self._odometry[self._next]
            if newest is not None and in_this_run and stamp < newest - RESTART_NS:
                return  # the odometry started anew, the clouds did not yet
            self.buffer.add(stamp, pose)
            if newest is not None and in_this_run and stamp > newest:
                self._spacing = stamp - newest
            self._newest = stamp if newest is None or not in_this_run else max(newest, stamp)
            self._next += 1


def kiss_poses(base_frame: str, num_threads: int = 0) -> KissSource:
    """KISS-ICP on the clouds of a replay, as the node would run it.

    Raises:
        KdmosError: the library is not installed.
    """
    buffer = PoseBuffer(_HISTORY_S, KissSource.max_pause_s, _MAX_JUMP_M, name="KISS-ICP pose")
    log = ThrottledLog(logging.getLogger(__name__))
    return KissSource(buffer, base_frame, load_kiss_icp(num_threads), log)
