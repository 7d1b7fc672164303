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

from kdmos_ros.geometry import Matrix
from kdmos_ros.grid import OUTSIDE, PolarGrid, to_level, to_polar
from kdmos_ros.ground import height_above
from kdmos_ros.places import Mount, grid_z

Float32 = npt.NDArray[np.float32]

N_RESIDUALS = 2
"""Values of a cell and lag: arrived, left."""
SMALL_SHARE = 0.2
SPAN_MIN_M, SPAN_MAX_M = 0.4, 4.0

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


def cell_heights(
    cell: npt.NDArray[np.int32], level_z: Float32, z: Float32, grid: PolarGrid
) -> CellHeights:
    """Spans of a scan's cells; points beyond the grid's range of z are left out.

    Args:
        cell: (N,) int32 of the newest level frame, or OUTSIDE.
        level_z: (N,) float32 height in that frame; z: the same as the grid counts it.
    """
    span = _spans(cell, level_z, z, np.float32(grid.z_min), np.float32(grid.z_max), grid.n_cells)
    rings = (span > 0).reshape(grid.n_rho, grid.n_phi)
    return CellHeights(span, np.logical_or.accumulate(rings[::-1], axis=0)[::-1].reshape(-1))


def past_heights(
    points: Float32, now_from_past: Matrix, mount: Mount, ground: Float32, grid: PolarGrid
) -> CellHeights:
    """Lay a past scan into the cells of the newest level frame.

    Args:
        points: (N, 3) float32 sensor frame; rows without a return are left out.
        now_from_past: (4, 4) between the sensor frames.
        ground: ground map of the newest scan.
    """
    rotation, height = mount
    turn, shift = np.split(now_from_past[:3].astype(np.float32), [3], axis=1)
    shift = rotation @ shift[:, 0]
    level: Float32 = to_level(points, rotation @ turn, height + shift[2])
    level[:, :2] += shift[:2]
    rho, phi = to_polar(level)
    z = grid_z(level, height_above(ground, level[:, 2], rho, phi), grid)
    return cell_heights(grid.cells(rho, phi), level[:, 2], z, grid)


def height_residuals(now: CellHeights, past: CellHeights, out: Float32) -> None:
    """Write arrived and left into out (n_cells, N_RESIDUALS) float32, zeros."""
    for column, (large, small) in enumerate(((now, past), (past, now))):
        grown = (large.span >= _MIN) & (large.span <= _MAX) & small.seen
        grown &= small.span <= _SMALL * large.span
        out[grown, column] = (large.span - small.span)[grown]


@njit(cache=True, nogil=True)
def _spans(cell, level_z, z, z_min, z_max, n_cells):  # type: ignore[no-untyped-def]
    low = np.full(n_cells, _INFINITY, np.float32)
    high = np.full(n_cells, -_INFINITY, np.float32)
    for i in range(len(cell)):
        c = cell[i]
        if c != OUTSIDE and z[i] >= z_min and z[i] <= z_max:
            low[c] = min(low[c], level_z[i])
            high[c] = max(high[c], level_z[i])
    for c in range(n_cells):
        high[c] = max(high[c] - low[c], _ZERO)
    return high
