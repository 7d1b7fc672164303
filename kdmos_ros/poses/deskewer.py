"""Deskews clouds with the poses that the node has. Free of ROS."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.pointcloud.deskewing import deskew, knot_times, sensor_motion
from kdmos_ros.pointcloud.point_times import PointTimes, extent
from kdmos_ros.poses.pose_source import PoseSource

Matrix = npt.NDArray[np.float64]


class Deskewer:
    """Moves points to where the sensor would have seen them at the cloud's stamp.

    Args:
        poses: must cover the sweep; nothing is extrapolated.
    """

    def __init__(self, poses: PoseSource) -> None:
        self._poses = poses

    @staticmethod
    def warm_up() -> None:
        """Compile what deskewing needs now, so that the first cloud is not late."""
        points, knots = np.ones((2, 3), np.float32), knot_times(0.0, 0.01)
        extent(points, np.zeros(2))
        deskew(points, np.zeros(2, np.float32), knots, sensor_motion([np.eye(4)] * 2, np.eye(4)))

    def deskew(
        self,
        points: npt.NDArray[np.float32],
        times: PointTimes,
        stamp_ns: int,
        mount: Matrix | None,
        timeout_s: float,
    ) -> npt.NDArray[np.float32]:
        """Points (N, 3) at the stamp. Waits for the poses of the last point.

        Args:
            mount: (4, 4) from the sensor to what the poses are of; None: the same.

        Raises:
            PoseError: the poses do not cover the sweep, or are not all of one generation
                (reason `jump`).
        """
        knots = knot_times(times.first, times.last)
        deadline = time.monotonic() + timeout_s
        stamps = [stamp_ns + round(t * 1e9) for t in knots]
        # The newest first: the others are there when it is.
        wanted = sorted({*stamps, stamp_ns}, reverse=True)
        found = {}
        generations = set()
        try:
            for stamp in wanted:
                remaining = max(0.0, deadline - time.monotonic())
                at = self._poses.wait(stamp, remaining)
                found[stamp] = at.pose if mount is None else at.pose @ mount
                generations.add(at.generation)
        except PoseError as error:
            raise PoseError(
                error.reason,
                f"deskewing needs poses from {times.first * 1e3:.0f} to {times.last * 1e3:.0f} ms "
                f"after the cloud's stamp: {error}",
            ) from None
        if len(generations) > 1:
            raise PoseError("jump", "the poses jumped or restarted during the sweep")
        motion = sensor_motion([found[stamp] for stamp in stamps], found[stamp_ns])
        return deskew(points, times.seconds, knots, motion)
