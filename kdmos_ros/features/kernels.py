"""The inner loops of `features`: point features and the motion map, one pass over the points."""

from __future__ import annotations

import numpy as np
from numba import njit

from kdmos_ros.features.grid import OUTSIDE
from kdmos_ros.features.point_coordinates import Places
from kdmos_ros.features.range_image import BLOCK
from kdmos_ros.features.slabs import NO_SLAB, slabs_of
from kdmos_ros.features.visibility import UNKNOWN
from kdmos_ros.geometry.angles import PI

# The position of a name is its code in `point_columns`; the two codes after them stand for the
# nearest and the farthest past range of a lag.
GEOMETRIC_FEATURES = (
    "d_rho",
    "d_phi",
    "d_z",
    "rho",
    "phi",
    "z",
    "x",
    "y",
    "height",
    "intensity",
    "ego_radial",
    "ego_tangential",
)
NEAR, FAR = len(GEOMETRIC_FEATURES), len(GEOMETRIC_FEATURES) + 1

_HALF, _ONE = np.float32(0.5), np.float32(1)


@njit(cache=True, nogil=True)
def occupancy(cell, z_bin, n_cells):  # type: ignore[no-untyped-def]
    """Points in the grid and the cells that they occupy: the integers of a FeatureFrame.

    Args:
        cell, z_bin: (N,) int32 of all points.

    Returns:
        index (P,) int64, cell (P,) int32, slot (P,) int32, z_bin (P,) int32, occupied (K,) int64.
    """
    slots = np.full(n_cells, -1, np.int32)
    n = 0
    for i in range(len(cell)):
        if cell[i] != OUTSIDE:
            slots[cell[i]] = 0
            n += 1
    occupied = np.empty(n_cells, np.int64)
    k = 0
    for c in range(n_cells):
        if slots[c] == 0:
            slots[c] = k
            occupied[k] = c
            k += 1
    index = np.empty(n, np.int64)
    inside, slot, bins = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    p = 0
    for i in range(len(cell)):
        if cell[i] != OUTSIDE:
            index[p], inside[p], slot[p], bins[p] = i, cell[i], slots[cell[i]], z_bin[i]
            p += 1
    return index, inside, slot, bins, occupied[:k].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def point_columns(  # type: ignore[no-untyped-def]
    codes, rows, at: Places, intensity, extent, near, far, velocity, out
):
    """Point features of those of the scan's rows that are in the grid; see GEOMETRIC_FEATURES.

    Offsets d_rho, d_phi, d_z are in cells from the cell's centre, -0.5 to 0.5; lengths are in
    metres, phi in radians; height is clipped to the grid's range. ego_radial and ego_tangential are
    the sensor's own speed towards the point and (unsigned) across, m/s: how far a cloud that is
    not deskewed shifts what stands still, and in which way.

    Args:
        codes: (F, 2) int64 of `features`.
        rows: first and last + 1 of the scan.
        at: places of the scan's N points. intensity: (N,) float32.
        extent: (6,) float32, rho_min, d_rho, d_phi, z_min, d_z, z_max of the grid.
        near, far: (N, L) float32 range differences.
        velocity: (3,) float32 of the sensor, level frame, m/s.
        out: (P, F) float32, a row for each row that is in the grid.
    """
    # A bit longer than a block: columns a power of two apart would evict each other from the cache.
    values = np.empty((len(codes), BLOCK + 16), np.float32)
    p = 0
    for start in range(rows[0], rows[1], BLOCK):
        block = slice(start, min(start + BLOCK, rows[1]))
        length = block.stop - start
        for column in range(len(codes)):
            code, lag = codes[column, 0], codes[column, 1]
            value = values[column]
            if code == NEAR:
                _copy(near[block, lag], value)
            elif code == FAR:
                _copy(far[block, lag], value)
            else:
                _geometric(code, value, block, at, intensity[block], extent, velocity)
        for j in range(length):
            if at.cell[start + j] != OUTSIDE:
                for column in range(len(codes)):
                    out[p, column] = values[column, j]
                p += 1


@njit(nogil=True, error_model="numpy")
def _geometric(code, value, block, at: Places, intensity, extent, velocity):  # type: ignore[no-untyped-def]
    """One column for a block of points; loops without branches, so that they are vectorised."""
    level, rho, phi = at.level[block], at.rho[block], at.phi[block]
    height, z, z_bin = at.height[block], at.z[block], at.z_bin[block]
    n = len(rho)
    rho_min, d_rho, d_phi, z_min, d_z, z_max = extent
    x, y, vx, vy = level[:, 0], level[:, 1], velocity[0], velocity[1]
    if code == 0:
        for j in range(n):
            v = (rho[j] - rho_min) / d_rho
            value[j] = v - np.float32(np.int32(v)) - _HALF
    elif code == 1:
        for j in range(n):
            v = (phi[j] + PI) / d_phi
            value[j] = v - np.float32(np.int32(v)) - _HALF
    elif code == 2:
        for j in range(n):
            v = (z[j] - z_min) / d_z - np.float32(z_bin[j]) - _HALF
            v = v if v > -_HALF else -_HALF
            value[j] = v if v < _HALF else _HALF
    elif code == 3:
        _copy(rho, value)
    elif code == 4:
        _copy(phi, value)
    elif code == 5:
        _copy(level[:, 2], value)
    elif code == 6:
        _copy(x, value)
    elif code == 7:
        _copy(y, value)
    elif code == 8:
        for j in range(n):
            v = height[j] if height[j] > z_min else z_min
            value[j] = v if v < z_max else z_max
    elif code == 9:
        _copy(intensity, value)
    elif code == 10:
        for j in range(n):
            value[j] = (vx * x[j] + vy * y[j]) / rho[j]
    else:
        for j in range(n):
            value[j] = abs(vx * y[j] - vy * x[j]) / rho[j]


@njit(nogil=True, inline="always")
def _copy(source, out):  # type: ignore[no-untyped-def]
    # Not out[:n] = source, for whose errors numba compiles texts: two seconds for each type.
    for j in range(len(source)):
        out[j] = source[j]


@njit(cache=True, nogil=True, error_model="numpy")
def map_states(index, cell, height, slabs, state, motion, touched):  # type: ignore[no-untyped-def]
    """Share of a cell's points in each state, by slab and lag.

    Args:
        index: (P,) int64 rows of the scan; cell: (P,) int32 their cells.
        height: (N,) float32 metres above the ground; slabs: (S + 1,) float32 edges, points outside
            of them are left out.
        state: (N, L) uint8 of `visibility`.
        motion: (n_cells, M) float32 zeros, whose first S * L * 3 columns are filled.
        touched: (n_cells,) bool out, see `motion_map`.
    """
    n_cells, width = motion.shape
    n_slabs, n_lags = len(slabs) - 1, state.shape[1]
    flat = motion.reshape(-1)
    count = np.zeros(n_cells * n_slabs, np.float32)
    found = slabs_of(height, slabs)
    # Unsigned: a negative index would be looked after.
    columns, slab_columns = np.uint32(width), np.uint32(3 * n_lags)
    for p in range(len(index)):
        i = np.uint32(index[p])
        if found[i] == NO_SLAB:
            continue
        c, k = np.uint32(cell[p]), np.uint32(found[i])
        count[c * np.uint32(n_slabs) + k] += _ONE
        first = c * columns + k * slab_columns
        for lag in range(n_lags):
            seen = state[i, lag]
            if seen != UNKNOWN:
                flat[first + np.uint32(3 * lag) + seen - np.uint32(1)] += _ONE
                touched[c] = True
    for row in range(n_cells):
        for slab in range(n_slabs):
            points = count[row * n_slabs + slab]
            if points > _ONE:
                for j in range(slab * n_lags * 3, (slab + 1) * n_lags * 3):
                    motion[row, j] /= points
