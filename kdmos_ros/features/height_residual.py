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
Points that are higher or lower than the grid reaches, at the middle of their cell, are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.features.grid import OUTSIDE, PolarGrid, cell_at
from kdmos_ros.features.ground import height_above
from kdmos_ros.features.point_coordinates import Mount, Places
from kdmos_ros.features.range_image import BLOCK, zeros
from kdmos_ros.geometry.angles import fine_atan2
from kdmos_ros.geometry.transforms import Matrix

Float32 = npt.NDArray[np.float32]

N_RESIDUALS = 2
"""Values of a cell and lag: arrived, left."""
SMALL_SHARE = 0.2
SPAN_MIN_M, SPAN_MAX_M = 0.4, 4.0

# How far the sensor may travel while a scan is a past one: points beyond the grid and this are
# not kept.
_TRAVEL_M = 66.0
_STEPS = 32767
_INFINITY, _ZERO = np.float32(np.inf), np.float32(0)
_SMALL, _MIN, _MAX = np.float32(SMALL_SHARE), np.float32(SPAN_MIN_M), np.float32(SPAN_MAX_M)


@dataclass(frozen=True)
class PastPoints:
    """The returns of a past scan in half the memory.

    Attributes:
        steps: (N, 3) int16, sensor frame.
        step_m: metres of one step; coordinates are true to half of it, 2 mm for a grid of 62 m.
    """

    steps: npt.NDArray[np.int16]
    step_m: float


@dataclass(frozen=True)
class CellHeights:
    """A scan in the cells of the newest level frame.

    Attributes:
        span: (n_cells,) float32 max z - min z, metres; 0 without points.
        seen: (n_cells,) whether the cell or a farther one of its sector has a span.
    """

    span: Float32
    seen: npt.NDArray[np.bool_]


def keep_points(points: Float32, grid: PolarGrid) -> PastPoints:
    """The returns among points (N, 3) float32, sensor frame, metres, that may matter later."""
    step_m = (grid.rho_max + _TRAVEL_M) / _STEPS
    return PastPoints(_in_steps(points, np.float32(1 / step_m)), step_m)


def cell_bounds(ground: Float32, grid: PolarGrid, top: np.float32 = _INFINITY) -> Float32:
    """Lowest and highest level z that count in each cell, (n_cells, 2) float32, metres.

    Args:
        ground: ground map of the newest scan.
        top: height of the ceiling, if there is one (see `Places`).
    """
    bounds = np.empty((grid.n_cells, 2), np.float32)
    bounds[:] = grid.z_min, min(np.float32(grid.z_max), top)
    if grid.above_ground:
        rho, phi = _centres(grid)
        bounds -= height_above(ground, np.zeros_like(rho), rho, phi)[:, None]
    return bounds


def newest_heights(at: Places, bounds: Float32, grid: PolarGrid) -> CellHeights:
    """The newest scan; bounds: of `cell_bounds`."""
    return _cell_heights(_extremes(at.cell, at.level[:, 2], bounds), grid)


def past_heights(
    points: PastPoints, now_from_past: Matrix, mount: Mount, bounds: Float32, grid: PolarGrid
) -> CellHeights:
    """A past scan, laid into the cells of the newest level frame.

    Args:
        now_from_past: (4, 4) between the sensor frames.
        bounds: of `cell_bounds`.
    """
    rotation, height = mount
    motion = now_from_past.astype(np.float32)
    shift = rotation @ motion[:3, 3]
    shift[2] += height
    turn = rotation @ motion[:3, :3] * np.float32(points.step_m)
    return _cell_heights(_lay(points.steps, turn, shift, grid.plane, bounds), grid)


def height_residuals(
    now: CellHeights, past: CellHeights, out: Float32, touched: npt.NDArray[np.bool_]
) -> None:
    """Write arrived and left into out (n_cells, N_RESIDUALS) float32, zeros.

    Args:
        touched: (n_cells,) bool out, see `motion_map`.
    """
    _grown(now.span, past.span, past.seen, out[:, 0], touched)
    _grown(past.span, now.span, now.seen, out[:, 1], touched)


@lru_cache(maxsize=4)
def _centres(grid: PolarGrid) -> tuple[Float32, Float32]:
    """rho, metres, and phi, radians, (n_cells,) of the middle of each cell."""
    rho = grid.rho_min + (np.arange(grid.n_rho) + 0.5) * grid.d_rho
    phi = (np.arange(grid.n_phi) + 0.5) * grid.d_phi - math.pi
    rings, sectors = np.meshgrid(rho, phi, indexing="ij")
    return rings.reshape(-1).astype(np.float32), sectors.reshape(-1).astype(np.float32)


def _cell_heights(span: Float32, grid: PolarGrid) -> CellHeights:
    return CellHeights(span, _seen(span.reshape(grid.n_rho, grid.n_phi)).reshape(-1))


@njit(cache=True, nogil=True)
def _in_steps(points, per_m):  # type: ignore[no-untyped-def]
    kept = np.empty((len(points), 3), np.int16)
    n = 0
    most = np.float32(_STEPS)
    for i in range(len(points)):
        x, y, z = points[i, 0] * per_m, points[i, 1] * per_m, points[i, 2] * per_m
        size = max(abs(x), max(abs(y), abs(z)))
        # NaN fails the comparison; all zero is no return.
        if size < most and (x != 0 or y != 0 or z != 0) and y == y and z == z:
            kept[n, 0], kept[n, 1], kept[n, 2] = round(x), round(y), round(z)
            n += 1
    return kept[:n].copy()


@njit(nogil=True, inline="always")
def _nothing(bounds):  # type: ignore[no-untyped-def]
    """Four values a cell: bounds, and lowest and highest z of no point at all. Flat."""
    table = np.empty(4 * len(bounds), np.float32)
    for c in range(len(bounds)):
        table[4 * c], table[4 * c + 1] = bounds[c]
        table[4 * c + 2], table[4 * c + 3] = _INFINITY, -_INFINITY
    return table


@njit(nogil=True, inline="always")
def _widen(cell, z, n, table):  # type: ignore[no-untyped-def]
    for i in range(n):
        if cell[i] != OUTSIDE:
            # Unsigned: a negative index would be looked after.
            k = np.uint32(4) * np.uint32(cell[i])
            value, low, high = z[i], table[k + 2], table[k + 3]
            counts = (value >= table[k]) & (value <= table[k + 1])
            table[k + 2] = value if counts & (value < low) else low
            table[k + 3] = value if counts & (value > high) else high


@njit(nogil=True, inline="always")
def _spans(table):  # type: ignore[no-untyped-def]
    span = np.empty(len(table) // 4, np.float32)
    for c in range(len(span)):
        span[c] = max(table[4 * c + 3] - table[4 * c + 2], _ZERO)
    return span


@njit(cache=True, nogil=True)
def _extremes(cell, level_z, bounds):  # type: ignore[no-untyped-def]
    table = _nothing(bounds)
    _widen(cell, level_z, len(cell), table)
    return _spans(table)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _lay(points, turn, shift, plane, bounds):  # type: ignore[no-untyped-def]
    table = _nothing(bounds)
    t00, t01, t02 = turn[0]
    t10, t11, t12 = turn[1]
    t20, t21, t22 = turn[2]
    x, y, z = zeros(), zeros(), zeros()
    cell = np.empty(BLOCK, np.int32)
    for start in range(0, len(points), BLOCK):
        length = min(BLOCK, len(points) - start)
        for j in range(length):
            point = points[start + j]
            x[j], y[j], z[j] = point[0], point[1], point[2]
        for j in range(BLOCK):
            level_x = t00 * x[j] + t01 * y[j] + t02 * z[j] + shift[0]
            level_y = t10 * x[j] + t11 * y[j] + t12 * z[j] + shift[1]
            z[j] = t20 * x[j] + t21 * y[j] + t22 * z[j] + shift[2]
            rho = np.float32(math.sqrt(level_x * level_x + level_y * level_y))
            cell[j] = cell_at(rho, fine_atan2(level_y, level_x), plane)
        _widen(cell, z, length, table)
    return _spans(table)


@njit(cache=True, nogil=True)
def _seen(span):  # type: ignore[no-untyped-def]
    """Whether a cell of (rings, sectors) or a farther one of its sector has a span."""
    rings, sectors = span.shape
    seen = np.empty(span.shape, np.bool_)
    for sector in range(sectors):
        seen[-1, sector] = span[-1, sector] > 0
    for ring in range(rings - 2, -1, -1):
        for sector in range(sectors):
            seen[ring, sector] = seen[ring + 1, sector] or span[ring, sector] > 0
    return seen


@njit(cache=True, nogil=True)
def _grown(large, small, seen, out, touched):  # type: ignore[no-untyped-def]
    for c in range(len(large)):
        if seen[c] and _MIN <= large[c] <= _MAX and small[c] <= _SMALL * large[c]:
            out[c] = large[c] - small[c]
            touched[c] = True
