"""When the points of a spinning LiDAR were taken, from the order in which they come.

Only where the order shows the turn: unorganised clouds in the order of the firings, and organised
ones whose columns are firings. Clouds sorted otherwise (ring after ring, as KITTI's files) do not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.pointcloud.point_times import PointTimes

Float32 = npt.NDArray[np.float32]

_BLOCKS = 120
_FEWEST_POINTS = 2000
# Of a block, to find out quickly that there is no turn.
_SOME_POINTS = 64
# Of the steps from block to block, so many go the same way; and the turn is about a full one.
_STEADY = 0.95
_LEAST_TURN, _GREATEST_TURN = np.deg2rad(270.0), np.deg2rad(450.0)
# Beams of one firing look a few degrees apart; a block with more is not of one direction.
_SPREAD = np.deg2rad(25.0)


def times_from_order(
    points: Float32, height: int, width: int, period_s: float
) -> PointTimes | None:
    """Times from -T/2 to T/2 about the stamp; None: the order does not show a turn.

    Args:
        points: (height * width, 3) sensor frame, row by row.
        period_s: time of one turn, seconds: the spacing of the clouds.
    """
    n = height * width
    if not _may_turn(points, height, width):
        return None
    # The place of each point in the order of the firings: its column, or its own.
    place = np.tile(np.arange(width), height) if height > 1 else np.arange(n)
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = points[:, 0], points[:, 1]
        squared = x * x + y * y
        known = np.flatnonzero((squared > 0.01) & (squared < np.inf))
    if len(known) < _FEWEST_POINTS:
        return None
    azimuth = np.arctan2(y[known], x[known])
    count = width if height > 1 else n
    blocks = min(_BLOCKS, count)
    block = (place[known].astype(np.int64) * blocks) // count
    directions = _directions(azimuth, block, blocks)
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
    near = np.interp(block.astype(np.float64), at, turn)
    own = near + np.mod(azimuth - near + np.pi, 2 * np.pi) - np.pi
    seconds = np.zeros(n, np.float32)
    passed = way * (own - turn[0]) / (2 * np.pi) * period_s
    first, last = np.quantile(passed, [0.001, 0.999])
    middle = 0.5 * (first + last)
    seconds[known] = np.clip(passed, first, last) - middle
    return PointTimes(seconds, float(first - middle), float(last - middle))


def _may_turn(points: Float32, height: int, width: int) -> bool:
    """Whether some of the points show the turn that all must show; takes a tenth of the time."""
    n = height * width
    # Odd, so that no column of an organised cloud is left out.
    some = np.arange(0, n, max(1, n // (_BLOCKS * _SOME_POINTS)) | 1)
    x, y = points[some, 0], points[some, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        squared = x * x + y * y
        known = np.flatnonzero((squared > 0.01) & (squared < np.inf))
    count = width if height > 1 else n
    blocks = min(_BLOCKS, count)
    place = some[known] % width if height > 1 else some[known]
    return _directions(np.arctan2(y[known], x[known]), place * blocks // count, blocks) is not None


def _directions(
    azimuth: npt.NDArray[np.floating], block: npt.NDArray[np.int64], blocks: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Blocks with points, and the direction of each, radians; None: too many look everywhere."""
    counts = np.bincount(block, minlength=blocks)
    with np.errstate(invalid="ignore"):
        cos = np.bincount(block, np.cos(azimuth), blocks) / counts
        sin = np.bincount(block, np.sin(azimuth), blocks) / counts
    # Mean resultant length of directions spread evenly over twice the spread.
    steady = np.hypot(cos, sin) > np.sin(_SPREAD) / _SPREAD
    at = np.flatnonzero((counts > 0) & steady)
    if len(at) < 0.8 * blocks or len(at) < 0.9 * np.count_nonzero(counts):
        return None
    return at.astype(np.float64), np.arctan2(sin[at], cos[at])
