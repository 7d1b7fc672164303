"""Judges by the sweeps themselves whether the times of points are right. Free of ROS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.pipeline.localization import Location
from kdmos_ros.pipeline.sweep_evidence import Sweep, SweepEvidence
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.pointcloud.structure import structure_points
from kdmos_ros.pointcloud.sweep_match import Structure, match_sweeps
from kdmos_ros.poses.deskewer import Deskewer
from kdmos_ros.scan import turned

Matrix = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_AS_SAID = "as the times say"
_STAMPS = ("start", "middle", "end")
# Nearer to each other, two stamps are the same.
_APART = 0.125


class TimeJudge:
    """Compares sweeps as the sensor moves, until it is known how their times are to be taken.

    Args:
        deskewer: moves points.
        trusted: whether the times count as right until the sweeps say otherwise; times that were
            guessed count only once deskewing by them surely helps.
        stamp_is_known: whether somebody said where in the sweep the stamp is.

    Attributes:
        deskews: whether clouds are to be deskewed, as far as is known.
        stamp: start, middle or end, where the stamp is not at the place that the times say.
        is_done: nothing will change any more.
        why: what was found, one line; empty: nothing so far.
    """

    def __init__(self, deskewer: Deskewer, trusted: bool, stamp_is_known: bool) -> None:
        self.deskews = trusted
        self.stamp = ""
        self.is_done = False
        self.why = ""
        self._deskewer = deskewer
        self._trusted = trusted
        self._stamp_is_known = stamp_is_known
        self._evidence = SweepEvidence()
        self._generation: int | None = None

    @staticmethod
    def warm_up() -> None:
        """Compile what is needed now, so that no cloud is late."""
        wall = np.linspace((5, -9, 0), (5, 9, 2), 400, dtype=np.float32)
        structure_points(wall, np.eye(3))
        sweep = Structure(wall, np.zeros_like(wall))
        match_sweeps(sweep, sweep, np.zeros(3))

    def corrected(self, times: PointTimes) -> PointTimes:
        """Times after the cloud's stamp as they were found to be."""
        return _shifted(times, self.stamp) if self.stamp else times

    def trust(self, why: str) -> bool:
        """Take guessed times as right until the sweeps say otherwise; whether that is new.

        Args:
            why: one line.
        """
        if self._trusted or self.is_done:
            return False
        self._trusted, self.why = True, self.why or why
        before, self.deskews = self.deskews, True
        return not before

    def observe(
        self, points: Float32, times: PointTimes, stamp_ns: int, location: Location
    ) -> bool:
        """See a sweep; whether that changed how times are to be taken.

        Args:
            points: (N, 3) sensor frame, as they came.
            times: as the cloud says them.
        """
        if self.is_done:
            return False
        if location.generation != self._generation:
            self._evidence.forget_last()
            self._generation = location.generation
        if not self._evidence.wants(stamp_ns, location.pose):
            return False
        sweep = self._sweep(points, times, stamp_ns, location)
        if sweep is None:
            return False
        self._evidence.add(sweep, times.last - times.first)
        return self._decide()

    def _sweep(
        self, points: Float32, times: PointTimes, stamp_ns: int, location: Location
    ) -> Sweep | None:
        rotation = location.pose[:3, :3]
        index = structure_points(points, rotation)
        raw = points[index]
        structures: dict[str, Structure] = {}
        velocity: Matrix = np.zeros(3)
        for name in (_AS_SAID, *_STAMPS):
            some = _shifted(times, name) if name in _STAMPS else times
            if name in _STAMPS and _near(some, times):
                continue
            some = replace(some, seconds=some.seconds[index])
            try:
                moved = self._deskewer.deskew(raw, some, stamp_ns, location.tracked_T_lidar)
            except PoseError:
                if name == _AS_SAID:
                    return None  # a sweep that the poses do not cover tells nothing
                continue
            shift = turned(moved.points - raw, rotation)
            known = np.isfinite(shift).all(axis=1)
            level = turned(raw, rotation)
            structures[name] = Structure(level[known], shift[known])
            if name == _AS_SAID:
                velocity = _velocity(moved.sweep, rotation, times.last - times.first)
        return Sweep(stamp_ns, location.pose, velocity, structures)

    def _decide(self) -> bool:
        evidence, before = self._evidence, (self.deskews, self.stamp)
        n = evidence.n_pairs
        fits = None if evidence.fit_is_known else evidence.fits()
        if fits is False:
            self.deskews, self.is_done = False, True
            self.why = f"{n} pairs of sweeps fit together as they come, and not deskewed"
        elif fits and (self._trusted or evidence.improves()):
            self.deskews = evidence.fit_is_known = True
            self.why = f"{n} pairs of sweeps fit together when deskewed"
        find_stamp = self.deskews and not self._stamp_is_known
        better = evidence.better_stamp() if find_stamp else ""
        if better:
            self.stamp, self.is_done = better.replace(_AS_SAID, ""), True
            if self.stamp:
                self.why = (
                    f"{n} pairs of sweeps fit the poses if the stamp is at the sweep's {better}"
                )
        self.is_done |= evidence.is_full or (bool(fits) and self._stamp_is_known)
        return before != (self.deskews, self.stamp)


def _shifted(times: PointTimes, stamp: str) -> PointTimes:
    """The same sweep with its stamp at the start, middle or end."""
    middle = 0.5 * (times.first + times.last)
    by = {"start": times.first, "middle": middle, "end": times.last}[stamp]
    return PointTimes(times.seconds - np.float32(by), times.first - by, times.last - by)


def _near(one: PointTimes, other: PointTimes) -> bool:
    return abs(one.first - other.first) < _APART * (other.last - other.first)


def _velocity(sweep: Matrix, rotation: Matrix, seconds: float) -> Matrix:
    """(3,) x, y and yaw a second in the fixed frame; sweep: (4, 4) from its last to its first."""
    along = rotation @ sweep[:3, 3]
    turn = rotation @ np.array([sweep[2, 1], sweep[0, 2], sweep[1, 0]])
    return np.array([along[0], along[1], turn[2]]) / max(seconds, 1e-3)
