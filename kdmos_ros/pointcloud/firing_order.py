"""When the points of a spinning LiDAR were taken, from the order in which they come.

Only where the order shows the turn: unorganised clouds in the order of the firings, and organised
ones whose columns are firings. Clouds sorted otherwise (ring after ring, as KITTI's files) do not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.geometry.angles import fine_atan2
from kdmos_ros.pointcloud.point_times import PointTimes

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_BLOCKS = 120
_FEWEST_POINTS = 2000
# Nearer to the axis, points tell no azimuth; m^2.
_NEAREST_SQUARED = np.float32(0.01)
# So many points tell when the first and the last ones were taken.
_SAMPLE = 20_000
# Of a block, to find out quickly that there is no turn.
_SOME_POINTS = 64
# Of the steps from block to block, so many go the same way; and the turn is about a full one.
_STEADY = 0.95
_LEAST_TURN, _GREATEST_TURN = np.deg2rad(270.0), np.deg2rad(450.0)
# Beams of one firing look a few degrees apart; a block with more is not of one direction.
_SPREAD = np.deg2rad(25.0)


class Turn(NamedTuple):
    """One turn of a spinning LiDAR.

    Attributes:
        times: from -T/2 to T/2 about the stamp.
        start: azimuth at which it begins, radians; good to a few degrees.
    """

    times: PointTimes
    start: float


def turn_from_order(points: Float32, height: int, width: int, period_s: float) -> Turn | None:
    """The turn that the order of the points shows; None: it shows none.

    Args:
        points: (height * width, 3) sensor frame, row by row.
        period_s: time of one turn, seconds: the spacing of the clouds.
    """
    n = height * width
    if not _may_turn(points, height, width):
        return None
    points = np.ascontiguousarray(points, np.float32)
    # The place of a point in the order of the firings is its column, or its own.
    count = width if height > 1 else n
    blocks = min(_BLOCKS, count)
    azimuth, counts, cos, sin = _azimuths(points, count, blocks)
    if counts.sum() < _FEWEST_POINTS:
        return None
    directions = _directions(counts, cos, sin)
    if directions is None:
        return None
    at, angles = directions
    turn = np.unwrap(angles)
    steps = np.diff(turn)
    way = 1.0 if turn[-1] > turn[0] else -1.0
    total = abs(turn[-1] - turn[0]) * blocks / max(at[-1] - at[0], 1)
    if np.mean(way * steps > 0) < _STEADY or not _LEAST_TURN <= total <= _GREATEST_TURN:
        return None
    # Each point by its own azimuth, on the turn of its block.
    near = np.interp(np.arange(blocks), at, turn) - turn[0]
    passed = _passed(azimuth, count, near, turn[0], way * period_s / (2 * np.pi))
    some = passed[:: max(1, n // _SAMPLE) | 1]
    first, last = np.quantile(some[np.isfinite(some)], [0.001, 0.999])
    middle = 0.5 * (first + last)
    seconds = np.clip(passed, first, last) - np.float32(middle)
    seconds[np.isnan(seconds)] = 0.0
    times = PointTimes(seconds, float(first - middle), float(last - middle))
    return Turn(times, float(turn[0]))


@njit(cache=True, nogil=True, error_model="numpy")
def _azimuths(points, count, blocks):  # type: ignore[no-untyped-def]
    """Azimuth (N,) float32 of each point, NaN for those that tell none; and sums by block.

    These are (blocks,) float64: points, and cosines and sines of their azimuths.

    Args:
        count: places in the order of the firings; each row of points has so many.
    """
    azimuth = np.empty(len(points), np.float32)
    counts, cos, sin = np.zeros(blocks), np.zeros(blocks), np.zeros(blocks)
    place = 0
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        squared = x * x + y * y
        if squared > _NEAREST_SQUARED and squared < np.inf:
            azimuth[i] = fine_atan2(y, x)
            block = place * blocks // count
            level = np.float32(math.sqrt(squared))
            counts[block] += 1
            cos[block] += x / level
            sin[block] += y / level
        else:
            azimuth[i] = np.nan
        place = place + 1 if place + 1 < count else 0
    return azimuth, counts, cos, sin


@njit(cache=True, nogil=True, error_model="numpy")
def _passed(azimuth, count, near, start, scale):  # type: ignore[no-untyped-def]
    """Seconds (N,) float32 since the turn began; NaN where the azimuth is.

    Args:
        near: (blocks,) what each block has turned since; start: azimuth at the start.
        scale: seconds per radian.
    """
    passed = np.empty(len(azimuth), np.float32)
    place, whole = 0, 2 * math.pi
    for i in range(len(azimuth)):
        turned = near[place * len(near) // count]
        rest = azimuth[i] - start - turned + math.pi
        passed[i] = scale * (turned + rest - whole * math.floor(rest / whole) - math.pi)
        place = place + 1 if place + 1 < count else 0
    return passed


def _may_turn(points: Float32, height: int, width: int) -> bool:
    """Whether some of the points show the turn that all must show; takes a tenth of the time."""
    n = height * width
    # Odd, so that no column of an organised cloud is left out.
    some = np.arange(0, n, max(1, n // (_BLOCKS * _SOME_POINTS)) | 1)
    x, y = points[some, 0], points[some, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        squared = x * x + y * y
        known = np.flatnonzero((squared > _NEAREST_SQUARED) & (squared < np.inf))
    count = width if height > 1 else n
    blocks = min(_BLOCKS, count)
    place = some[known] % width if height > 1 else some[known]
    level, block = np.sqrt(squared[known]), place * blocks // count
    counts = np.bincount(block, minlength=blocks).astype(np.float64)
    cos = np.asarray(np.bincount(block, x[known] / level, blocks), np.float64)
    sin = np.asarray(np.bincount(block, y[known] / level, blocks), np.float64)
    return _directions(counts, cos, sin) is not None


def _directions(counts: Float64, cos: Float64, sin: Float64) -> tuple[Float64, Float64] | None:
    """Blocks with points, and the direction of each, radians; None: too many look everywhere.

    Args:
        counts, cos, sin: (blocks,) points, and sums of their azimuths' cosines and sines.
    """
    blocks = len(counts)
    # Mean resultant length of directions spread evenly over twice the spread.
    steady = np.hypot(cos, sin) > counts * np.sin(_SPREAD) / _SPREAD
    at = np.flatnonzero((counts > 0) & steady)
    if len(at) < 0.8 * blocks or len(at) < 0.9 * np.count_nonzero(counts):
        return None
    return at.astype(np.float64), np.arctan2(sin[at], cos[at])
