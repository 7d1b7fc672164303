"""Height residuals: has the span of heights in a cell of the polar grid grown or shrunk?

The motion cue of MotionBEV (Zhou et al., RA-L 2023) and KDMOS, in a causal form, to be compared
with the see-through residuals. Published: two windows of four scans are compared, and a scan's
values are complete only seven scans later. Here: the newest scan against one past scan for each
lag, so that all values are there at once. Both are laid into the cells of the newest level frame.

    arrived = h_now - h_past   where h_past <= 0.2 h_now and 0.4 m <= h_now <= 4 m
    left    = h_past - h_now   where h_now <= 0.2 h_past and 0.4 m <= h_past <= 4 m

h is max z - min z of a cell's points, metres, 0 for a cell without points; so both values are 0 or
positive. They are 0 too where the cell was hidden from the scan of the smaller span, as far as the
published test tells: where neither the cell nor any farther one of its sector has a span there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.features.grid import OUTSIDE, PolarGrid, cells_of, to_level, to_polar
from kdmos_ros.features.ground import height_above
from kdmos_ros.features.point_coordinates import Mount, Places
from kdmos_ros.geometry.transforms import Matrix

Float32 = npt.NDArray[np.float32]

N_RESIDUALS = 2
"""Values of a cell and lag: arrived, left."""
SMALL_SHARE = 0.2
SPAN_MIN_M, SPAN_MAX_M = 0.4, 4.0

# Points are laid in blocks that stay in the fastest cache.
_BLOCK = 2048
_INFINITY, _ZERO = np.float32(np.inf), np.float32(0)
_SMALL, _MIN, _MAX = np.float32(SMALL_SHARE), np.float32(SPAN_MIN_M), np.float32(SPAN_MAX_M)


@dataclass(frozen=True)
class CellHeights:
    """A scan in the cells of the newest level frame.

    Attributes:
        span: (n_cells,) float32 max z - min z, metres; 0 without points.
        seen: (n_cells,) whether the cell or a farther one of its sector has a span.
    """

    span: Float32
    seen: npt.NDArray[np.bool_]


def newest_heights(at: Places, grid: PolarGrid) -> CellHeights:
    """The newest scan; points beyond the grid's range of z are left out."""
    low, high = _nothing(grid.n_cells)
    _widen(at.cell, at.level[:, 2], at.z, _bounds(grid), low, high)
    return _cell_heights(low, high, grid)


def past_heights(
    points: Float32, now_from_past: Matrix, mount: Mount, ground: Float32, grid: PolarGrid
) -> CellHeights:
    """A past scan, laid into the cells of the newest level frame.

    Args:
        points: (N, 3) float32 sensor frame; rows without a return are left out, and so are points
            beyond the grid's range of z.
        now_from_past: (4, 4) between the sensor frames.
        ground: ground map of the newest scan.
    """
    rotation, height = mount
    motion = now_from_past.astype(np.float32)
    shift = rotation @ motion[:3, 3]
    shift[2] += height
    turn, bounds = rotation @ motion[:3, :3], _bounds(grid)
    low, high = _nothing(grid.n_cells)
    _lay(points, turn, shift, ground, grid.plane, bounds, grid.above_ground, low, high)
    return _cell_heights(low, high, grid)


def height_residuals(now: CellHeights, past: CellHeights, out: Float32) -> None:
    """Write arrived and left into out (n_cells, N_RESIDUALS) float32, zeros."""
    _grown(now.span, past.span, past.seen, out[:, 0])
    _grown(past.span, now.span, now.seen, out[:, 1])


def _bounds(grid: PolarGrid) -> tuple[np.float32, np.float32]:
    return np.float32(grid.z_min), np.float32(grid.z_max)


def _nothing(n_cells: int) -> tuple[Float32, Float32]:
    return np.full(n_cells, _INFINITY), np.full(n_cells, -_INFINITY)


def _cell_heights(low: Float32, high: Float32, grid: PolarGrid) -> CellHeights:
    span = np.maximum(high - low, _ZERO)
    return CellHeights(span, _seen(span.reshape(grid.n_rho, grid.n_phi)).reshape(-1))


@njit(cache=True, nogil=True)
def _lay(points, rotation, shift, ground, plane, bounds, above_ground, low, high):  # type: ignore[no-untyped-def]
    for start in range(0, len(points), _BLOCK):
        level = to_level(points[start : start + _BLOCK], rotation, shift[2])
        level[:, 0] += shift[0]
        level[:, 1] += shift[1]
        rho, phi = to_polar(level)
        z = height_above(ground, level[:, 2], rho, phi) if above_ground else level[:, 2]
        _widen(cells_of(rho, phi, plane), level[:, 2], z, bounds, low, high)


@njit(cache=True, nogil=True)
def _widen(cell, level_z, z, bounds, low, high):  # type: ignore[no-untyped-def]
    """Widen what each cell has from low to high by its points."""
    for i in range(len(cell)):
        c = cell[i]
        if c != OUTSIDE and z[i] >= bounds[0] and z[i] <= bounds[1]:
            low[c] = min(low[c], level_z[i])
            high[c] = max(high[c], level_z[i])


@njit(cache=True, nogil=True)
def _seen(span):  # type: ignore[no-untyped-def]
    """Whether a cell of (rings, sectors) or a farther one of its sector has a span."""
    seen = span > 0
    for ring in range(len(span) - 2, -1, -1):
        seen[ring] |= seen[ring + 1]
    return seen


@njit(cache=True, nogil=True)
def _grown(large, small, seen, out):  # type: ignore[no-untyped-def]
    for c in range(len(large)):
        if seen[c] and _MIN <= large[c] <= _MAX and small[c] <= _SMALL * large[c]:
            out[c] = large[c] - small[c]
