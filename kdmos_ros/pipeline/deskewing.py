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
from kdmos_ros.pipeline.seam_watch import SeamWatch
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pipeline.time_judge import TimeJudge
from kdmos_ros.pointcloud.cloud_reader import ReadCloud
from kdmos_ros.pointcloud.deskew_mode import deskew_mode
from kdmos_ros.pointcloud.firing_order import Turn, turn_from_order
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.poses.deskewer import Deskewer
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.throttled_log import ThrottledLog

Float32 = npt.NDArray[np.float32]

# No sweep is shorter, or takes so many times the spacing of the stamps.
_SHORTEST_S = 1e-3
_LONGEST_STEPS = 1.5
_STEPS = 9
# A pose that is missing by less is there, but for rounding.
_ROUNDING_S = 1e-3
_LONGEST_TURN_S = 0.5
# Somebody who sets one of these knows where in the sweep the stamp is.
_KNOWN_STAMPS = ("start", "middle", "end")


class CloudDeskewing:
    """Deskews clouds as the parameter `deskew` says.

    With `auto`, a cloud whose times are of no use, or whose sweep the poses do not cover, is left
    as it came, and the sweeps tell whether their times are right (`TimeJudge`); with `true`, all
    that is an error, and times are taken as they are.

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
        self._judge: TimeJudge | None = None
        self._judged: tuple[Any, ...] = ()
        self._seam = SeamWatch()
        if self._mode != "false":
            self._deskewer.warm_up()
        if self._mode == AUTO:
            TimeJudge.warm_up()

    @property
    def is_settled(self) -> bool:
        """Whether clouds so far are taken as those to come will be."""
        return self._judge is None or self._judge.is_done

    def times(self, cloud: ReadCloud, stamp_ns: int) -> PointTimes | None:
        """When the points of a cloud were taken, as it says; None: not known, or not wanted.

        Clouds are seen once each, in the order of their stamps.
        """
        if self._last_ns is not None and stamp_ns > self._last_ns:
            self._steps_s.append((stamp_ns - self._last_ns) * 1e-9)
        self._last_ns = stamp_ns
        if self._mode == "false":
            self.state = "off: the parameter deskew is false"
            self._judge, self._judged = None, ()
            return None
        if cloud.untimed is not None:
            if self._order_is_no_help:
                return None
            turn = self._from_order(cloud)
            if turn is None:
                self._off(cloud.untimed.reason, str(cloud.untimed))
                return None
            # A simulator may see all points at once and write them in the same order.
            if self._choose_judge(trusted=False):
                self._seam = SeamWatch()
            self._seam.add(turn.start)
            # How long a turn takes is not known from one cloud.
            return turn.times if self._steps_s else None
        if self._mode == AUTO and (complaint := self._complaint(cloud.times)):
            self._off("bad_point_time", complaint)
            return None
        self._choose_judge(trusted=True)
        return cloud.times

    def for_registration(self, times: PointTimes | None) -> Float32 | None:
        """(N,) seconds after the stamp for a pose source that registers clouds; None: not known."""
        if times is None or (self._judge is not None and not self._judge.deskews):
            return None
        return times.seconds if self._judge is None else self._judge.corrected(times).seconds

    def observe(
        self, points: Float32, times: PointTimes, stamp_ns: int, location: Location
    ) -> bool:
        """Let a located cloud tell whether its times are right; whether that changed anything."""
        judge = self._judge
        if judge is None or judge.is_done:
            return False
        trusted = self._seam.wanders and judge.trust(
            "the order of the points is that of a LiDAR whose sweeps begin elsewhere each time"
        )
        if not judge.observe(points, times, stamp_ns, location) and not trusted:
            return False
        told = "deskewed from now on" if judge.deskews else "no longer deskewed"
        if judge.stamp:
            told = f"deskewed as with time_base {judge.stamp} from now on"
        self._log.warning("deskew measured", f"the clouds are {told}: {judge.why}")
        return True

    def deskewed(
        self, points: Float32, times: PointTimes, stamp_ns: int, location: Location
    ) -> Float32 | None:
        """Points (N, 3) as the LiDAR would have seen them at the stamp; None: left as they came.

        Raises:
            DroppedScan: the poses do not cover the sweep, and it must be deskewed.
        """
        judge = self._judge
        if judge is not None:
            self.state = self._found(judge)
            if not judge.deskews:
                return None
            times = judge.corrected(times)
        else:
            self.state = "on"
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

    def _from_order(self, cloud: ReadCloud) -> Turn | None:
        """The turn of a spinning LiDAR's cloud that has no times; None: it is no such cloud."""
        if cloud.untimed is None or cloud.untimed.reason != "no_point_time":
            return None
        period_s = float(np.median(self._steps_s)) if self._steps_s else _SHORTEST_S
        layout = cloud.layout
        if period_s > _LONGEST_TURN_S or self._options["time_field"]:
            return None
        turn = turn_from_order(cloud.cloud.points, layout.height, layout.width, period_s)
        if turn is not None and "order" not in self._told:
            self._told.add("order")
            self._log.warning(
                "deskew order",
                "the clouds have no time of each point: it is taken from the order of the points, "
                "which may be that of a spinning LiDAR's firings, once that is measured to help or "
                "sweeps are seen to begin elsewhere each time",
            )
        return turn

    @property
    def _order_is_no_help(self) -> bool:
        """Whether times from the order of points were found not to help, and may be left alone."""
        judge = self._judge
        done = judge is not None and judge.is_done and not judge.deskews
        return done and self._judged == self._kind(trusted=False)

    def _kind(self, trusted: bool) -> tuple[Any, ...]:
        """What times are, and are taken to be."""
        form = (self._options.get(f"time_{name}") for name in ("field", "unit", "base"))
        return (self._mode, trusted, *form)

    def _choose_judge(self, trusted: bool) -> bool:
        """Begin anew where the times are of another kind than before; whether they are."""
        kind = self._kind(trusted)
        if self._judged == kind:
            return False
        self._judged = kind
        known = trusted and kind[-1] in _KNOWN_STAMPS
        self._judge = TimeJudge(self._deskewer, trusted, known) if self._mode == AUTO else None
        return True

    def _found(self, judge: TimeJudge) -> str:
        if not judge.deskews:
            return f"off: {judge.why or 'the order of the points may tell their times'}"
        return f"on: {judge.why}" if judge.why else "on"

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
