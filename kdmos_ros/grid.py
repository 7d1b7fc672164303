"""The polar bird's-eye-view grid: the one definition of cells for training and for the node.

Rows are rings (rho), columns are sectors (azimuth), `index = row * n_phi + column`; height is cut
into bins. As in PolarNet (Zhang et al., CVPR 2020) and MotionBEV (Zhou et al., RA-L 2023), but
points outside in rho are marked as outside instead of being pushed into the border cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

OUTSIDE = -1


@dataclass(frozen=True)
class PolarGrid:
    """Extent and resolution of the grid, metres.

    Attributes:
        rho_min, rho_max: horizontal distance from the sensor axis; outside it, cell = OUTSIDE.
        n_rho, n_phi: rings and sectors. Sector 0 starts at azimuth -pi; the last one ends at +pi.
        z_min, z_max, n_z: height bins. Lower and higher points belong to the first and last bin,
            which are open, so that a facade or a bridge is labelled too.
        z_reference: "ground" (height above the local ground estimate) or "base" (height above
            the z = 0 plane of the base frame).
    """

    rho_min: float = 2.0
    rho_max: float = 50.0
    n_rho: int = 240
    n_phi: int = 240
    z_min: float = -0.5
    z_max: float = 4.3
    n_z: int = 24
    z_reference: str = "ground"

    def __post_init__(self) -> None:
        if not 0 <= self.rho_min < self.rho_max:
            raise ValueError(f"grid: need 0 <= rho_min < rho_max, got {self.rho_min, self.rho_max}")
        if not self.z_min < self.z_max:
            raise ValueError(f"grid: need z_min < z_max, got {self.z_min, self.z_max}")
        for name in ("n_rho", "n_phi", "n_z"):
            if getattr(self, name) < 1:
                raise ValueError(f"grid: {name} must be at least 1, got {getattr(self, name)}")
        if self.z_reference not in ("ground", "base"):
            raise ValueError(f"grid: z_reference must be ground or base, got {self.z_reference!r}")

    @property
    def n_cells(self) -> int:
        """Cells in the plane, n_rho * n_phi."""
        return self.n_rho * self.n_phi

    @property
    def d_rho(self) -> float:
        """Depth of a ring, metres."""
        return (self.rho_max - self.rho_min) / self.n_rho

    @property
    def d_phi(self) -> float:
        """Width of a sector, radians."""
        return 2 * math.pi / self.n_phi

    @property
    def d_z(self) -> float:
        """Height of a bin, metres."""
        return (self.z_max - self.z_min) / self.n_z

    def cells(
        self, rho: npt.NDArray[np.float32], phi: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int32]:
        """Cell index (N,) int32 of points at rho (N,) metres and phi (N,) radians, or OUTSIDE."""
        return _cells(rho, phi, self.rho_min, self.d_rho, self.n_rho, self.d_phi, self.n_phi)

    def z_bins(self, height: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """Height bin (N,) int32 of heights (N,) metres; the end bins are open."""
        bins = np.floor((height - np.float32(self.z_min)) / np.float32(self.d_z))
        return np.clip(bins, 0, self.n_z - 1).astype(np.int32)


@njit(cache=True, nogil=True)
def _cells(rho, phi, rho_min, d_rho, n_rho, d_phi, n_phi):  # type: ignore[no-untyped-def]
    cells = np.empty(len(rho), np.int32)
    for i in range(len(rho)):
        row = math.floor((rho[i] - rho_min) / d_rho)
        if not 0 <= row < n_rho:  # NaN fails both comparisons and is outside too
            cells[i] = OUTSIDE
            continue
        # Rounding may put +pi one past the end: azimuth wraps, so that is sector 0.
        column = math.floor((phi[i] + math.pi) / d_phi) % n_phi
        cells[i] = row * n_phi + column
    return cells


@njit(cache=True, nogil=True)
def to_polar(level):  # type: ignore[no-untyped-def]
    """Horizontal distance (N,) and azimuth (N,), float32, of level-frame points (N, 3).

    Rows without a return (not finite, or all zero before levelling, handled by the caller as NaN)
    give NaN.
    """
    n = len(level)
    rho = np.empty(n, np.float32)
    phi = np.empty(n, np.float32)
    for i in range(n):
        x, y = level[i, 0], level[i, 1]
        rho[i] = math.sqrt(x * x + y * y)
        phi[i] = math.atan2(y, x)
    return rho, phi


@njit(cache=True, nogil=True)
def to_level(points, rotation, height):  # type: ignore[no-untyped-def]
    """Move sensor-frame points (N, 3) float32 into the level frame; rows without a return: NaN.

    The level frame has its origin below the sensor on the base's z = 0 plane and the base's axes.

    Args:
        points: (N, 3) float32, metres.
        rotation: (3, 3) float32, R_base_sensor.
        height: metres of the sensor above the base's z = 0 plane.
    """
    level = np.empty_like(points)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)) or (
            x == 0 and y == 0 and z == 0
        ):
            level[i, :] = np.nan
            continue
        for k in range(3):
            level[i, k] = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z
        level[i, 2] += height
    return level
