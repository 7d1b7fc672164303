"""Decides for each cloud whether it is deskewed, and deskews it. Free of ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import AUTO
from kdmos_ros.errors import PoseError
from kdmos_ros.pipeline.localization import DroppedScan, Location
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.cloud_reader import ReadCloud
from kdmos_ros.pointcloud.deskew_mode import deskew_mode
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.poses.deskewer import Deskewer
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.throttled_log import ThrottledLog

# No sweep is shorter, or takes so many times the spacing of the stamps.
_SHORTEST_S = 1e-3
_LONGEST_STEPS = 1.5
_STEPS = 9
# A pose that is missing by less is there, but for rounding.
_ROUNDING_S = 1e-3


class CloudDeskewing:
    """Deskews clouds as the parameter `deskew` says.

    With `auto`, a cloud whose times are of no use, or whose sweep the poses do not cover, is left
    as it came; with `true` it is an error.

    Args:
        options: current value of deskew.
        statistics: gets the events `pose_extrapolated` (the newest motion was continued to the end
            of the sweep) and `not_deskewed` (the poses did not cover the sweep).
        log: told once for each reason why clouds are not deskewed.

    Attributes:
        state: for diagnostics: on, or off and why.
    """

    def __init__(
        self,
        poses: PoseSource,
        options: Mapping[str, Any],
        statistics: Statistics,
        log: ThrottledLog,
    ) -> None:
        self.state = "no cloud yet"
        self._deskewer = Deskewer(poses)
        self._poses = poses
        self._options = options
        self._statistics = statistics
        self._log = log
        self._told: set[str] = set()
        self._last_ns: int | None = None
        self._steps_s: deque[float] = deque(maxlen=_STEPS)
        if self._mode != "false":
            self._deskewer.warm_up()

    def times(self, cloud: ReadCloud, stamp_ns: int) -> PointTimes | None:
        """When the points of a cloud were taken; None: it is not to be deskewed.

        Clouds are seen once each, in the order of their stamps.
        """
        if self._last_ns is not None and stamp_ns > self._last_ns:
            self._steps_s.append((stamp_ns - self._last_ns) * 1e-9)
        self._last_ns = stamp_ns
        if self._mode == "false":
            self.state = "off: the parameter deskew is false"
            return None
        if cloud.untimed is not None:
            self._off(cloud.untimed.reason, str(cloud.untimed))
            return None
        if self._mode == AUTO and (complaint := self._complaint(cloud.times)):
            self._off("bad_point_time", complaint)
            return None
        self.state = "on"
        return cloud.times

    def deskewed(
        self, points: npt.NDArray[np.float32], times: PointTimes, stamp_ns: int, location: Location
    ) -> npt.NDArray[np.float32] | None:
        """Points (N, 3) as the LiDAR would have seen them at the stamp; None: left as they came.

        Raises:
            DroppedScan: the poses do not cover the sweep, and it must be deskewed.
        """
        try:
            moved = self._deskewer.deskew(points, times, stamp_ns, location.tracked_T_lidar)
        except PoseError as error:
            if self._mode != AUTO:
                raise DroppedScan(f"{self._poses.kind}_{error.reason}", str(error)) from None
            self._statistics.event("not_deskewed")
            self._log.warning("not_deskewed", f"a cloud is labelled without deskewing: {error}")
            return None
        if moved.continued_s > _ROUNDING_S:
            self._statistics.event("pose_extrapolated")
        return moved.points

    @property
    def _mode(self) -> str:
        return deskew_mode(self._options["deskew"])

    def _complaint(self, times: PointTimes | None) -> str:
        """Why times cannot be those of one sweep, as far as the stamps tell; empty if they can."""
        if times is None:
            return ""
        span = times.last - times.first
        remedy = "check the parameter time_unit, or set deskew to false"
        if span < _SHORTEST_S:
            return f"its times span {span * 1e3:.3g} ms, too short for a sweep: {remedy}"
        step = float(np.median(self._steps_s)) if self._steps_s else np.inf
        if span > _LONGEST_STEPS * step:
            return (
                f"its times span {span * 1e3:.0f} ms, too long for clouds that come every "
                f"{step * 1e3:.0f} ms: {remedy}"
            )
        return ""

    def _off(self, reason: str, why: str) -> None:
        self.state = f"off: {why}"
        if reason not in self._told:
            self._told.add(reason)
            self._log.warning(f"deskew {reason}", f"the clouds are not deskewed: {why}")
