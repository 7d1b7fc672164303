"""Where the points of a scan are: in the level frame, above the local ground, in the grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.ceiling import ceiling_height
from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_level, to_polar
from kdmos_ros.features.ground import ground_map, height_above

Float32 = npt.NDArray[np.float32]
Mount = tuple[Float32, np.float32]
"""(3, 3) R_base_sensor, and the sensor's height above the base's z = 0 plane, metres."""


def level_mount(base_T_sensor: npt.NDArray[np.float64]) -> Mount:
    """What the level frame takes of a mount, (4, 4) T_base_sensor."""
    return base_T_sensor[:3, :3].astype(np.float32), np.float32(base_T_sensor[2, 3])


class Places(NamedTuple):
    """Where the N points of a scan are, float32 and metres; NaN for those without a return.

    Attributes:
        level: (N, 3) level frame; rho, phi: its polar coordinates (N,), phi in radians.
        ground: map of the local ground (see `ground`).
        height: (N,) above it; z: (N,) that, or above the base's plane.
        cell, z_bin: (N,) int32 of the grid; points of a ceiling are in no cell.
        top: height from which on points are a ceiling's (see `ceiling`); infinite without one.
    """

    level: Float32
    rho: Float32
    phi: Float32
    ground: Float32
    height: Float32
    z: Float32
    cell: npt.NDArray[np.int32]
    z_bin: npt.NDArray[np.int32]
    top: np.float32


def place(points: Float32, mount: Mount, grid: PolarGrid) -> Places:
    """Find the places of points (N, 3) float32, sensor frame, metres."""
    level = to_level(points, *mount)
    rho, phi = to_polar(level)
    ground = ground_map(level[:, 2], rho, phi, float(mount[1]))
    height: Float32 = height_above(ground, level[:, 2], rho, phi)
    z = height if grid.above_ground else level[:, 2]
    cell = grid.cells(rho, phi)
    top = ceiling_height(height, level[:, 2] - mount[1], rho, phi)
    if top < np.inf:
        cell[height >= top] = OUTSIDE
    return Places(level, rho, phi, ground, height, z, cell, grid.z_bins(z), top)
