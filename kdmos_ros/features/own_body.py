"""Which returns of a scan come from the vehicle that carries the sensor.

A bonnet or a gripper travels with the sensor: in the fixed frame it moves, and the places that it
enters were seen free before. It is no moving object. What it looks like is told by its outline in
the base frame, or learned: a direction whose nearest return keeps its range while the sensor
travels sees the vehicle itself. So does, beside a long straight wall, the wall, and on a plain the
ground: they may be taken for the body without harm, since all that follows is that they stand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.defaults import AUTO
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import Matrix
from kdmos_ros.scan import Scan, turned

NONE = "none"
# A learned body reaches no farther from the sensor, horizontally: cars in the next lane that keep
# pace are farther off.
REACH_M = 2.5
_D_ANGLE = math.radians(2.0)
_ROWS, _COLUMNS = round(math.pi / _D_ANGLE), round(2 * math.pi / _D_ANGLE)
_TOLERANCE_M = 0.1
_MARGIN_M = 0.15
_LEAST_TRAVEL_M = 1.0
# Travel is counted in steps of this length: less is the error of the odometry.
_STEP_M = 0.2
_MOST_MISSED = 5

Rows = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Footprint:
    """Outline of the vehicle in the base frame (REP 105), metres."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def rows(self, points: Float32, base_T_sensor: Matrix) -> Rows:
        """Rows of the points (N, 3), sensor frame, that lie inside, at any height."""
        x, y = (points @ base_T_sensor[:2, :3].T.astype(np.float32)).T
        x, y = x + np.float32(base_T_sensor[0, 3]), y + np.float32(base_T_sensor[1, 3])
        inside = (x >= self.x_min) & (x <= self.x_max) & (y >= self.y_min) & (y <= self.y_max)
        return np.flatnonzero(inside & points.any(axis=1))


def parse_footprint(text: str) -> Footprint | None:
    """The outline that "X_MIN, X_MAX, Y_MIN, Y_MAX" tells; None: "auto" or "none".

    Raises:
        ValueError: it is none of these.
    """
    if text.strip() in (AUTO, NONE):
        return None
    try:
        x_min, x_max, y_min, y_max = (float(part) for part in text.split(","))
        if not (-math.inf < x_min < x_max < math.inf and -math.inf < y_min < y_max < math.inf):
            raise ValueError
    except ValueError:
        raise ValueError(
            f'expected "{AUTO}", "{NONE}" or "x_min, x_max, y_min, y_max" in the base frame,'
            f" metres, got {text!r}"
        ) from None
    return Footprint(x_min, x_max, y_min, y_max)


class OwnBody:
    """Finds the returns of the own vehicle in a stream of scans. Causal.

    Args:
        footprint: as `parse_footprint`; "auto": learned.
        mount: (4, 4) T_base_sensor of scans that do not know theirs.

    Raises:
        KdmosError: the footprint is none.
    """

    def __init__(self, footprint: str, mount: Matrix) -> None:
        try:
            self._outline = parse_footprint(footprint)
        except ValueError as error:
            raise KdmosError(f"footprint: {error}") from error
        self._learns = footprint.strip() == AUTO
        self._mount = mount
        self.reset()

    def reset(self) -> None:
        """Forget what was learned, as after a jump of the pose or before another recording."""
        self._range = np.full((_ROWS, _COLUMNS), np.inf, np.float32)
        self._since = np.zeros((_ROWS, _COLUMNS), np.float32)
        self._missed: npt.NDArray[np.int64] = np.zeros((_ROWS, _COLUMNS), np.int64)
        self._travel = 0.0
        self._anchor: npt.NDArray[np.float64] | None = None

    def rows(self, scan: Scan) -> Rows:
        """Rows (K,) of the newest scan that the own vehicle returned; the scan is learned from."""
        mount = self._mount if scan.base_T_sensor is None else scan.base_T_sensor
        if self._outline is not None:
            return self._outline.rows(scan.points, mount)
        if not self._learns:
            return np.empty(0, np.int64)
        # Along the axes of the base, on which the body is fixed: REACH_M is horizontal.
        points = np.ascontiguousarray(scan.points, np.float32)
        rotation = mount[:3, :3].astype(np.float32)
        near = _near(points, rotation, np.float32(REACH_M**2))
        row, column, distance = _directions(turned(points[near], mount[:3, :3]))
        self._move(scan.pose[:3, 3])
        self._learn(row, column, distance)
        body = np.isfinite(self._range) & (self._travel - self._since >= _LEAST_TRAVEL_M)
        if not body.any():
            return near[:0]
        # The next direction knows better where an edge is, and how far a slope goes.
        low = _around(np.where(body, self._range, np.inf), np.minimum) - _MARGIN_M
        high = _around(np.where(body, self._range, -np.inf), np.maximum) + _MARGIN_M
        mine = (distance >= low[row, column]) & (distance <= high[row, column])
        return near[mine]

    def _move(self, position: npt.NDArray[np.float64]) -> None:
        if self._anchor is None:
            self._anchor = position
        step = float(np.linalg.norm(position - self._anchor))
        if step >= _STEP_M:
            self._travel, self._anchor = self._travel + step, position

    def _learn(self, row: Rows, column: Rows, distance: Float32) -> None:
        nearest = np.full_like(self._range, np.inf)
        np.minimum.at(nearest, (row, column), distance)
        seen = np.isfinite(nearest)
        other = seen & ~(np.abs(nearest - np.where(seen, self._range, 0)) <= _TOLERANCE_M)
        self._missed = np.where(seen, 0, self._missed + 1).clip(max=_MOST_MISSED + 1)
        self._range[other], self._since[other] = nearest[other], self._travel
        self._range[self._missed > _MOST_MISSED] = np.inf


@njit(cache=True, nogil=True)
def _near(points, rotation, square):  # type: ignore[no-untyped-def]
    """Rows (K,) int64 of the points (N, 3) that a body may have returned, after a rotation."""
    near = np.empty(len(points), np.int64)
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    n = 0
    for i in range(len(points)):
        x = r00 * points[i, 0] + r01 * points[i, 1] + r02 * points[i, 2]
        y = r10 * points[i, 0] + r11 * points[i, 1] + r12 * points[i, 2]
        level = x * x + y * y
        near[n] = i
        n += 1 if (level < square) & (level > 0) else 0
    return near[:n].copy()


def _directions(points: Float32) -> tuple[Rows, Rows, Float32]:
    """Directions and ranges of points (K, 3)."""
    x, y, z = points.T
    level = np.hypot(x, y)
    row = ((np.arctan2(z, level) + math.pi / 2) / _D_ANGLE).astype(np.int64).clip(0, _ROWS - 1)
    column = ((np.arctan2(y, x) + math.pi) / _D_ANGLE).astype(np.int64) % _COLUMNS
    return row, column, np.hypot(level, z).astype(np.float32)


def _around(ranges: Float32, pick: np.ufunc) -> Float32:
    """The extreme of each direction and the eight around it; azimuth wraps."""
    wide = pick(pick(np.roll(ranges, 1, axis=1), np.roll(ranges, -1, axis=1)), ranges)
    tall: Float32 = wide.copy()
    tall[1:] = pick(tall[1:], wide[:-1])
    tall[:-1] = pick(tall[:-1], wide[1:])
    return tall
