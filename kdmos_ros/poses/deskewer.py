"""Deskews clouds with the poses that the node has. Free of ROS."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import interpolate, invert
from kdmos_ros.pointcloud.deskewing import deskew, knot_times, sensor_motion
from kdmos_ros.pointcloud.point_times import PointTimes, extent
from kdmos_ros.poses.pose_source import PoseSource

Matrix = npt.NDArray[np.float64]


# The newest motion is that over so long; about a step of odometry, and longer than its noise.
_MOTION_NS = 50_000_000


class Deskewed(NamedTuple):
    """What deskewing gives.

    Attributes:
        points: (N, 3) float32 at the stamp.
        continued_s: for how long the newest motion was continued for want of poses.
        sweep: (4, 4) from the sensor at the sweep's last point to that at the first one.
    """

    points: npt.NDArray[np.float32]
    continued_s: float
    sweep: Matrix


class Deskewer:
    """Moves points to where the sensor would have seen them at the cloud's stamp.

    Poses later than the stamp are not waited for: the newest motion goes on for the rest of the
    sweep, at most for as long as the sweep. Nothing else is extrapolated.

    Args:
        poses: must cover the sweep up to the stamp.
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
    ) -> Deskewed:
        """Points at the stamp, whose pose must be known.

        Args:
            mount: (4, 4) from the sensor to what the poses are of; None: the same.

        Raises:
            PoseError: the poses do not cover the sweep, or are not all of one generation
                (reason `jump`).
        """
        knots = knot_times(times.first, times.last)
        stamps = [stamp_ns + round(t * 1e9) for t in knots]
        try:
            found, newest_ns = self._poses_at({*stamps, stamp_ns})
            ahead_ns = max(0, stamps[-1] - newest_ns)
            if ahead_ns > stamps[-1] - stamps[0]:
                raise PoseError("timeout", f"the newest is {ahead_ns * 1e-6:.1f} ms before its end")
        except PoseError as error:
            raise PoseError(
                error.reason,
                f"deskewing needs poses from {times.first * 1e3:.0f} to {times.last * 1e3:.0f} ms "
                f"after the cloud's stamp: {error}",
            ) from None
        if mount is not None:
            found = {stamp: pose @ mount for stamp, pose in found.items()}
        motion = sensor_motion([found[stamp] for stamp in stamps], found[stamp_ns])
        moved = deskew(points, times.seconds, knots, motion)
        return Deskewed(moved, ahead_ns * 1e-9, invert(motion[0]) @ motion[-1])

    def _poses_at(self, stamps: set[int]) -> tuple[dict[int, Matrix], int]:
        """Poses by stamp, and the newest of these that is known and not continued."""
        found: dict[int, Matrix] = {}
        later = []
        generations = set()
        for stamp in sorted(stamps, reverse=True):
            try:
                at = self._poses.wait(stamp, 0.0)
            except PoseError as error:
                if error.reason != "timeout" or found or stamp == min(stamps):
                    raise
                later.append(stamp)
                continue
            found[stamp] = at.pose
            generations.add(at.generation)
        newest_ns = max(found)
        if later:
            before = self._poses.wait(newest_ns - _MOTION_NS, 0.0)
            generations.add(before.generation)
            for stamp in later:
                ahead = 1 + (stamp - newest_ns) / _MOTION_NS
                found[stamp] = interpolate(before.pose, found[newest_ns], ahead)
        if len(generations) > 1:
            raise PoseError("jump", "the poses jumped or restarted during the sweep")
        return found, newest_ns
