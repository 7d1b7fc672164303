"""How high a level LiDAR stands above the ground, from what it sees of the ground near it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kdmos_ros.scan import turned

# Where the ground is near enough to be flat, and far enough not to be the robot.
_NEAREST_M, _FARTHEST_M = 1.5, 12.0
_CELL_M, _SECTORS = 1.5, 72
_LOWEST_M, _HIGHEST_M = 0.15, 4.0
_BIN_M = 0.1
# Of the cells with a return, so many must agree on the height, and at least this many.
_AGREEING, _CELLS = 0.25, 20
_SCANS, _TRIES = 10, 300


class GroundHeight:
    """Median of `sensor_height` over the first scans that tell it; fixed from then on."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self._tries = 0

    def observe(
        self, points: npt.NDArray[np.float32], rotation: npt.NDArray[np.float64] | None = None
    ) -> float | None:
        """Height in metres, or None if no scan has told it so far.

        Args:
            points: (N, 3) in the sensor frame, metres.
            rotation: (3, 3) to level axes; None: they are level.
        """
        if len(self._seen) < _SCANS and self._tries < _TRIES:
            self._tries += 1
            height = sensor_height(points if rotation is None else turned(points, rotation))
            if height is not None:
                self._seen.append(height)
        return float(np.median(self._seen)) if self._seen else None


def sensor_height(points: npt.NDArray[np.float32]) -> float | None:
    """Height of a level LiDAR above the ground in metres; None: one scan does not tell.

    The lowest return in each cell around the sensor is ground, or stands on it: it is the lowest
    level on which many agree.

    Args:
        points: (N, 3) in the sensor frame, metres; rows without a return are not finite or 0.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        rho = np.hypot(points[:, 0], points[:, 1])
        usable = (rho >= _NEAREST_M) & (rho < _FARTHEST_M)
        usable &= (points[:, 2] <= -_LOWEST_M) & (points[:, 2] >= -_HIGHEST_M)
    x, y, z = points[usable].T
    if not len(z):
        return None
    sector = ((np.arctan2(y, x) + math.pi) * (_SECTORS / (2 * math.pi))).astype(np.intp) % _SECTORS
    cell = sector + _SECTORS * (rho[usable] / _CELL_M).astype(np.intp)
    lowest = np.full(int(cell.max()) + 1, np.inf, np.float32)
    np.minimum.at(lowest, cell, z)
    lowest = lowest[np.isfinite(lowest)]
    counts = np.bincount((-lowest / _BIN_M).astype(np.intp))
    around = np.convolve(counts, np.ones(3, np.intp), "same")
    (levels,) = np.nonzero(around >= max(_CELLS, _AGREEING * len(lowest)))
    if not len(levels):
        return None
    level = int(levels[-1])  # a bonnet may fill as many cells as the ground behind it
    while level > 0 and around[level - 1] > around[level]:
        level -= 1
    ground = lowest[np.abs(-lowest - (level + 0.5) * _BIN_M) < 1.5 * _BIN_M]
    return float(-np.median(ground))
