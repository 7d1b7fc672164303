"""The inner loops of `features`: point features and the motion map, one pass over the points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
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

_HALF = np.float32(0.5)


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
                value[:length] = near[block, lag]
            elif code == FAR:
                value[:length] = far[block, lag]
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
        value[:n] = rho
    elif code == 4:
        value[:n] = phi
    elif code == 5:
        value[:n] = level[:, 2]
    elif code == 6:
        value[:n] = x
    elif code == 7:
        value[:n] = y
    elif code == 8:
        for j in range(n):
            v = height[j] if height[j] > z_min else z_min
            value[j] = v if v < z_max else z_max
    elif code == 9:
        value[:n] = intensity
    elif code == 10:
        for j in range(n):
            value[j] = (vx * x[j] + vy * y[j]) / rho[j]
    else:
        for j in range(n):
            value[j] = abs(vx * y[j] - vy * x[j]) / rho[j]


def motion_map(
    index: npt.NDArray[np.int64],
    cell: npt.NDArray[np.int32],
    height: npt.NDArray[np.float32],
    slabs: npt.NDArray[np.float32],
    state: npt.NDArray[np.uint8],
    n_cells: int,
    width: int,
) -> npt.NDArray[np.float32]:
    """Share of a cell's points in each state, by slab and lag: (n_cells, width) float32.

    The first slabs * lags * 3 columns; the others are left at zero.

    Args:
        index: (P,) int64 rows of the scan; cell: (P,) int32 their cells.
        height: (N,) float32 metres above the ground; slabs: (S + 1,) float32 edges, points outside
            of them are left out.
        state: (N, L) uint8 of `visibility`.
    """
    # Not in compiled code: numpy's zeros come from the system as such, in large pages.
    motion = np.zeros((n_cells, width), np.float32)
    _count_states(index, cell, height, slabs, state, motion)
    return motion


@njit(cache=True, nogil=True)
def _count_states(index, cell, height, slabs, state, motion):  # type: ignore[no-untyped-def]
    n_slabs, n_lags = len(slabs) - 1, state.shape[1]
    n_cells = len(motion)
    count = np.zeros((n_cells, n_slabs), np.float32)
    found = slabs_of(height, slabs)
    for p in range(len(index)):
        i = index[p]
        k = found[i]
        if k == NO_SLAB:
            continue
        row = motion[cell[p]]
        count[cell[p], k] += 1
        for lag in range(n_lags):
            if state[i, lag] != UNKNOWN:
                row[(k * n_lags + lag) * 3 + state[i, lag] - 1] += 1
    for c in range(n_cells):
        for k in range(n_slabs):
            if count[c, k] > 1:
                for j in range(k * n_lags * 3, (k + 1) * n_lags * 3):
                    motion[c, j] /= count[c, k]
