"""The inner loops of `features`: point features and the motion map, one pass over the points."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmos_ros.visibility import UNKNOWN

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


@njit(cache=True, nogil=True)
def point_columns(  # type: ignore[no-untyped-def]
    codes, index, z_bin, level, rho, phi, height, intensity, z, extent, near, far, velocity
):
    """Point features (P, F) float32 in one pass over the points; see GEOMETRIC_FEATURES.

    Offsets d_rho, d_phi, d_z are in cells from the cell's centre, -0.5 to 0.5; lengths are in
    metres, phi in radians; height is clipped to the grid's range. ego_radial and ego_tangential are
    the sensor's own speed towards the point and (unsigned) across, m/s: how far a cloud that is
    not deskewed shifts what stands still, and in which way.

    Args:
        codes: (F, 2) int64 of `features`.
        index: (P,) int64 rows of the scan; z_bin: (P,) int32.
        level: (N, 3); rho, phi, height, intensity, z: (N,) float32; z is what bins are made of.
        extent: rho_min, d_rho, d_phi, z_min, d_z, z_max of the grid.
        near, far: (N, L) float32 range differences.
        velocity: (3,) float32 of the sensor, level frame, m/s.
    """
    vx, vy = velocity[0], velocity[1]
    rho_min, d_rho, d_phi, z_min, d_z, z_max = extent
    out = np.empty((len(index), len(codes)), np.float32)
    for p in range(len(index)):
        i = index[p]
        for column in range(len(codes)):
            code, lag = codes[column, 0], codes[column, 1]
            if code == NEAR:
                value = near[i, lag]
            elif code == FAR:
                value = far[i, lag]
            elif code == 0:
                value = (rho[i] - rho_min) / d_rho
                value = value - math.floor(value) - 0.5
            elif code == 1:
                value = (phi[i] + math.pi) / d_phi
                value = value - math.floor(value) - 0.5
            elif code == 2:
                value = min(max((z[i] - z_min) / d_z - z_bin[p] - 0.5, -0.5), 0.5)
            elif code == 3:
                value = rho[i]
            elif code == 4:
                value = phi[i]
            elif code == 5:
                value = level[i, 2]
            elif code == 6:
                value = level[i, 0]
            elif code == 7:
                value = level[i, 1]
            elif code == 8:
                value = min(max(height[i], z_min), z_max)
            elif code == 9:
                value = intensity[i]
            elif code == 10:
                value = (vx * level[i, 0] + vy * level[i, 1]) / rho[i]
            else:
                value = abs(vx * level[i, 1] - vy * level[i, 0]) / rho[i]
            out[p, column] = value
    return out


@njit(cache=True, nogil=True)
def motion_map(index, cell, height, slabs, state, n_cells, width):  # type: ignore[no-untyped-def]
    """Share of a cell's points in each state, by slab and lag: (n_cells, width) float32.

    The first slabs * lags * 3 columns; the others are left at zero.

    Args:
        index: (P,) int64 rows of the scan; cell: (P,) int32 their cells.
        height: (N,) float32 metres above the ground; slabs: (S + 1,) float32 edges, points outside
            of them are left out.
        state: (N, L) uint8 of `visibility`.
    """
    n_slabs, n_lags = len(slabs) - 1, state.shape[1]
    motion = np.zeros((n_cells, width), np.float32)
    count = np.zeros((n_cells, n_slabs), np.float32)
    for p in range(len(index)):
        i = index[p]
        if not slabs[0] < height[i] <= slabs[n_slabs]:
            continue
        k = 0
        while height[i] > slabs[k + 1]:
            k += 1
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
    return motion
