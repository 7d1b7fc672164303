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

from kdmos_ros.geometry.angles import PI, fine_atan2

OUTSIDE = -1

Plane = tuple[np.float32, np.float32, int, np.float32, int]
"""rho_min and depth of a ring, metres; rings; width of a sector, radians; sectors."""

_ZERO, _INFINITY, _NAN = np.float32(0), np.float32(np.inf), np.float32(np.nan)


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
        return cells_of(rho, phi, self.plane)

    @property
    def above_ground(self) -> bool:
        """Whether z is height above the local ground, not that in the level frame."""
        return self.z_reference == "ground"

    @property
    def plane(self) -> Plane:
        """Its rings and sectors, for compiled code."""
        rho_min, d_rho, d_phi = np.array([self.rho_min, self.d_rho, self.d_phi], np.float32)
        return rho_min, d_rho, self.n_rho, d_phi, self.n_phi

    def z_bins(self, height: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """Height bin (N,) int32 of heights (N,) metres; the end bins are open."""
        return _z_bins(height, np.float32(self.z_min), np.float32(self.d_z), self.n_z)


# Compiled code below works in float32 and without branches, so that it is vectorised.


@njit(nogil=True, inline="always")
def cell_at(rho, phi, plane):  # type: ignore[no-untyped-def]
    """Cell (int32) at rho, metres, and phi, radians, of a grid's `plane`, or OUTSIDE."""
    rho_min, d_rho, n_rho, d_phi, n_phi = plane
    row = (rho - rho_min) / d_rho
    # NaN fails both comparisons and is outside too.
    inside = (row >= _ZERO) & (row < np.float32(n_rho))
    # Rounding may put +pi one past the end: azimuth wraps, so that is sector 0.
    column = np.int32((phi + PI) / d_phi)
    column = column - n_phi if column >= n_phi else column
    return np.int32(np.int32(row) * n_phi + column if inside else OUTSIDE)


@njit(cache=True, nogil=True, error_model="numpy")
def cells_of(rho, phi, plane):  # type: ignore[no-untyped-def]
    """`PolarGrid.cells` of a grid's `plane`."""
    cells = np.empty(len(rho), np.int32)
    for i in range(len(rho)):
        cells[i] = cell_at(rho[i], phi[i], plane)
    return cells


@njit(cache=True, nogil=True, error_model="numpy")
def _z_bins(height, z_min, d_z, n_z):  # type: ignore[no-untyped-def]
    bins = np.empty(len(height), np.int32)
    top = np.float32(n_z - 1)
    for i in range(len(height)):
        value = (height[i] - z_min) / d_z
        value = value if value < top else top  # NaN: the last one
        bins[i] = np.int32(value if value > _ZERO else _ZERO)
    return bins


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def to_polar(level):  # type: ignore[no-untyped-def]
    """Horizontal distance (N,) and azimuth (N,), float32, of level-frame points (N, 3).

    Rows without a return (not finite, or all zero before levelling, handled by the caller as NaN)
    give NaN.
    """
    n = len(level)
    rho = np.empty(n, np.float32)
    phi = np.empty(n, np.float32)
    x, y = level[:, 0], level[:, 1]
    for i in range(n):
        rho[i] = np.float32(math.sqrt(x[i] * x[i] + y[i] * y[i]))
        phi[i] = fine_atan2(y[i], x[i])
    return rho, phi


@njit(cache=True, nogil=True, error_model="numpy")
def to_level(points, rotation, height):  # type: ignore[no-untyped-def]
    """Move sensor-frame points (N, 3) float32 into the level frame; rows without a return: NaN.

    The level frame has its origin below the sensor on the base's z = 0 plane and the base's axes.
    The result lies in memory by columns.

    Args:
        points: (N, 3) float32, metres.
        rotation: (3, 3) float32, R_base_sensor.
        height: metres of the sensor above the base's z = 0 plane.
    """
    level = np.empty((3, len(points)), np.float32).T
    out_x, out_y, out_z = level[:, 0], level[:, 1], level[:, 2]
    r00, r01, r02 = rotation[0]
    r10, r11, r12 = rotation[1]
    r20, r21, r22 = rotation[2]
    lift = np.float32(height)
    for i in range(len(points)):
        x, y, z = points[i]
        size = abs(x) + abs(y) + abs(z)
        # Comparisons with NaN are false: one that is not finite, or all zero, is no return.
        there = (size > _ZERO) & (size < _INFINITY)
        out_x[i] = r00 * x + r01 * y + r02 * z if there else _NAN
        out_y[i] = r10 * x + r11 * y + r12 * z if there else _NAN
        out_z[i] = r20 * x + r21 * y + r22 * z + lift if there else _NAN
    return level
