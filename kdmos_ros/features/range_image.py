"""A scan as a range image in its upright frame: what its rays passed, and where they ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.geometry.angles import PI, coarse_atan2

# Every elevation: a sensor looks wherever its mount turns it. Rows without returns are left out.
ELEVATION_MIN = math.radians(-90.0)
ELEVATION_MAX = math.radians(90.0)
D_ELEVATION = math.radians(0.2)
D_AZIMUTH = math.radians(0.4)
N_ROWS = round((ELEVATION_MAX - ELEVATION_MIN) / D_ELEVATION)
N_COLUMNS = round(2 * math.pi / D_AZIMUTH)
# Beams are up to 0.5 degrees apart on a 64-beam sensor: an empty pixel takes the nearest row.
FILL_ROWS = 4
# Points are worked on in blocks that stay in the fastest cache, in loops of a constant length: so
# they are vectorised, and each point's result is the same wherever in a block it stands.
BLOCK = 256

STEP_M = 0.005
NOTHING = 0xFFFF

_STEP, _PER_M = np.float32(STEP_M), np.float32(1 / STEP_M)
_BOTTOM = np.float32(ELEVATION_MIN)
_ROWS_PER_RADIAN = np.float32(1 / D_ELEVATION)
_COLUMNS_PER_RADIAN = np.float32(1 / D_AZIMUTH)
_ROWS = np.float32(N_ROWS)
_INFINITY = np.float32(np.inf)
_ZERO, _HALF = np.float32(0), np.float32(0.5)
_MOST_STEPS = np.float32(NOTHING - 1)


@dataclass(frozen=True)
class RangeImage:
    """The rows of a range image that have returns: the few degrees that a sensor covers, or all.

    Attributes:
        pixels: (rows * N_COLUMNS + 1,) uint32, row by row, the nearest return around a pixel in
            the lower 16 bits and the farthest in the upper ones, in steps of STEP_M: the pixel's
            own, or that of the nearest filled row up to FILL_ROWS away, over three columns; and
            over the rows that it was built to pool. No return: NOTHING, as in the last pixel,
            which stands for all that lie outside.
        first_row: which of the N_ROWS rows the first one is.
    """

    pixels: npt.NDArray[np.uint32]
    first_row: int

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return len(self.pixels) // N_COLUMNS

    @property
    def ranges(self) -> npt.NDArray[np.float32]:
        """(rows, N_COLUMNS, 2) float32 nearest and farthest, metres. No return: inf and -inf."""
        pixels = self.pixels[:-1].reshape(-1, N_COLUMNS)
        ranges = np.stack([pixels & 0xFFFF, pixels >> 16], -1).astype(np.float32) * _STEP
        ranges[pixels == NOTHING] = np.inf, -np.inf
        return ranges


def build_range_image(points: npt.NDArray[np.float32], pool_rows: int = 0) -> RangeImage:
    """Range image of points (N, 3), upright frame, metres; rows without a return are left out.

    Ranges are true to half of STEP_M, up to 327 m; what is farther counts as that.

    Args:
        pool_rows: a pixel that knows anything takes in so many rows above and below it, too.
    """
    ranges, first_row = _build(points)
    return RangeImage(_pack(_pool_rows(ranges, pool_rows) if pool_rows else ranges), first_row)


@njit(nogil=True, inline="always")
def zeros():  # type: ignore[no-untyped-def]
    """A block of zeros (BLOCK,) float32."""
    return np.zeros(BLOCK, np.float32)


@njit(nogil=True, inline="always")
def pixel(x, y, z):  # type: ignore[no-untyped-def]
    """Row (a float32 that may lie outside the image) and column (int32) of a direction."""
    elevation = coarse_atan2(z, np.float32(math.sqrt(x * x + y * y)))
    row = (elevation - _BOTTOM) * _ROWS_PER_RADIAN
    column = np.int32((coarse_atan2(y, x) + PI) * _COLUMNS_PER_RADIAN)
    return row, column - N_COLUMNS if column >= N_COLUMNS else column


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _build(points):  # type: ignore[no-untyped-def]
    place, distance = _places(points)
    lowest, highest = N_ROWS * N_COLUMNS, -1
    for i in range(len(place)):
        lowest = min(lowest, place[i] if place[i] >= 0 else N_ROWS * N_COLUMNS)
        highest = max(highest, place[i])
    first, last = lowest // N_COLUMNS, highest // N_COLUMNS
    top, end = max(first - FILL_ROWS, 0), min(last + FILL_ROWS, N_ROWS - 1)
    if last < 0:
        return np.empty((0, N_COLUMNS, 2), np.float32), 0
    # Empty rows around spare the filling all questions about borders.
    shape = (end - top + 1 + 2 * FILL_ROWS, N_COLUMNS)
    nearest = np.full(shape, np.inf, np.float32)
    farthest = np.full(shape, -np.inf, np.float32)
    near, far = nearest.reshape(-1), farthest.reshape(-1)
    start = (top - FILL_ROWS) * N_COLUMNS
    for i in range(len(place)):
        if place[i] >= 0:
            p = np.uint32(place[i] - start)  # unsigned: a negative index would be looked after
            near[p] = distance[i] if distance[i] < near[p] else near[p]
            far[p] = distance[i] if distance[i] > far[p] else far[p]
    return _spread(nearest, farthest), top


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _places(points):  # type: ignore[no-untyped-def]
    """Pixel (N,) int32 of each point in the whole image, -1 for none, and its range (N,)."""
    n = len(points)
    place = np.empty(n, np.int32)
    distance = np.empty(n, np.float32)
    x, y, z, d = zeros(), zeros(), zeros(), zeros()
    p = np.empty(BLOCK, np.int32)
    for start in range(0, n, BLOCK):
        length = min(BLOCK, n - start)
        for j in range(length):
            point = points[start + j]
            x[j], y[j], z[j] = point[0], point[1], point[2]
        for j in range(BLOCK):
            squared = x[j] * x[j] + y[j] * y[j] + z[j] * z[j]
            row, column = pixel(x[j], y[j], z[j])
            inside = (row >= _ZERO) & (row < _ROWS) & (squared > _ZERO) & (squared < _INFINITY)
            p[j] = np.int32(row) * N_COLUMNS + column if inside else -1
            d[j] = np.float32(math.sqrt(squared))
        places, distances = place[start:], distance[start:]
        for j in range(length):
            places[j], distances[j] = p[j], d[j]
    return place, distance


@njit(nogil=True, error_model="numpy")
def _spread(nearest, farthest):  # type: ignore[no-untyped-def]
    """Fill empty pixels from the rows around, then take the extremes of three columns."""
    ranges = np.empty((len(nearest) - 2 * FILL_ROWS, N_COLUMNS, 2), np.float32)
    near, far = np.empty(N_COLUMNS + 2, np.float32), np.empty(N_COLUMNS + 2, np.float32)
    for row in range(len(ranges)):
        at = row + FILL_ROWS
        for c in range(N_COLUMNS):
            near[c + 1], far[c + 1] = nearest[at, c], farthest[at, c]
        for step in range(1, FILL_ROWS + 1):
            near_a, near_b = nearest[at + step], nearest[at - step]
            far_a, far_b = farthest[at + step], farthest[at - step]
            for c in range(N_COLUMNS):
                empty = near[c + 1] == _INFINITY
                near_c = near_a[c] if near_a[c] < near_b[c] else near_b[c]
                far_c = far_a[c] if far_a[c] > far_b[c] else far_b[c]
                near[c + 1] = near_c if empty else near[c + 1]
                far[c + 1] = far_c if empty else far[c + 1]
        near[0], near[N_COLUMNS + 1] = near[N_COLUMNS], near[1]
        far[0], far[N_COLUMNS + 1] = far[N_COLUMNS], far[1]
        out = ranges[row]
        for c in range(N_COLUMNS):
            a = near[c] if near[c] < near[c + 1] else near[c + 1]
            b = far[c] if far[c] > far[c + 1] else far[c + 1]
            out[c, 0] = a if a < near[c + 2] else near[c + 2]
            out[c, 1] = b if b > far[c + 2] else far[c + 2]
    return ranges


@njit(cache=True, nogil=True, error_model="numpy")
def _pack(ranges):  # type: ignore[no-untyped-def]
    near_far = ranges.reshape(-1, 2)
    pixels = np.empty(len(near_far) + 1, np.uint32)
    for p in range(len(near_far)):
        near, far = _steps(near_far[p, 0]), _steps(near_far[p, 1])
        known = near_far[p, 0] < _INFINITY
        pixels[p] = near | far << np.uint32(16) if known else np.uint32(NOTHING)
    pixels[-1] = NOTHING
    return pixels


@njit(nogil=True, inline="always")
def _steps(metres):  # type: ignore[no-untyped-def]
    steps = metres * _PER_M + _HALF
    steps = steps if steps < _MOST_STEPS else _MOST_STEPS
    return np.uint32(np.int32(steps if steps > _ZERO else _ZERO))


@njit(nogil=True, inline="always")
def metres_of(pixel):  # type: ignore[no-untyped-def]
    """Nearest and farthest range, float32 metres, of a pixel that is not NOTHING."""
    near, far = pixel & np.uint32(NOTHING), pixel >> np.uint32(16)
    return np.float32(np.int32(near)) * _STEP, np.float32(np.int32(far)) * _STEP


@njit(cache=True, nogil=True, error_model="numpy")
def _pool_rows(ranges, n):  # type: ignore[no-untyped-def]
    """The extremes over n rows to either side, of pixels that are not empty."""
    pooled = ranges.copy()
    last = len(ranges) - 1
    for row in range(len(ranges)):
        out = pooled[row]
        for other in range(max(row - n, 0), min(row + n, last) + 1):
            near_far = ranges[other]
            for c in range(N_COLUMNS):
                known = ranges[row, c, 0] < _INFINITY
                near = near_far[c, 0] if near_far[c, 0] < out[c, 0] else out[c, 0]
                far = near_far[c, 1] if near_far[c, 1] > out[c, 1] else out[c, 1]
                out[c, 0] = near if known else out[c, 0]
                out[c, 1] = far if known else out[c, 1]
    return pooled
