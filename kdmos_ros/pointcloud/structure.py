"""Points of a sweep that stand above the ground: walls, poles, vehicles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.scan import turned

Float32 = npt.NDArray[np.float32]

# Nearer ones are the robot's own, or hide behind each other at once; farther ones are sparse.
_NEAREST_M, _FARTHEST_M = 1.5, 35.0
_LOWEST_M, _HIGHEST_M = 0.5, 4.0
_CELL_M = 1.0
_CELLS = 2 * int(_FARTHEST_M / _CELL_M) + 4
_MOST = 8_000


def structure_points(points: Float32, rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Indices of the structure points of a sweep, at most 8,000, evenly chosen.

    Args:
        points: (N, 3) sensor frame, metres.
        rotation: (3, 3) from the sensor into a frame whose z points up.
    """
    index = np.flatnonzero(_above_ground(turned(points, rotation)))
    return index[:: max(1, -(-len(index) // _MOST))]


@njit(cache=True, nogil=True)
def _above_ground(level):  # type: ignore[no-untyped-def]
    """Which points (N, 3) stand well above the lowest return around them."""
    n, half = len(level), _CELLS // 2
    low = np.full((_CELLS, _CELLS), np.inf, np.float32)
    cell = np.full(n, -1, np.int32)
    for i in range(n):
        x, y, z = level[i, 0], level[i, 1], level[i, 2]
        r = np.sqrt(x * x + y * y)
        if not (_NEAREST_M < r < _FARTHEST_M and np.isfinite(z)):
            continue
        a, b = int(np.floor(x / _CELL_M)) + half, int(np.floor(y / _CELL_M)) + half
        low[a, b] = min(low[a, b], z)
        cell[i] = a * _CELLS + b
    ground = low.copy()
    for a in range(1, _CELLS - 1):
        for b in range(1, _CELLS - 1):
            for c in range(a - 1, a + 2):
                for d in range(b - 1, b + 2):
                    ground[a, b] = min(ground[a, b], low[c, d])
    chosen = np.zeros(n, np.bool_)
    lowest = ground.reshape(-1)
    for i in range(n):
        if cell[i] >= 0:
            chosen[i] = _LOWEST_M < level[i, 2] - lowest[cell[i]] < _HIGHEST_M
    return chosen
