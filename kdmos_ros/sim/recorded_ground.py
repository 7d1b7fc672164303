"""The ground of a recorded place, from all points that were seen there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]
GROUND_CELL = 0.5  # metres
_STEP = 0.18  # from cell to cell, ground rises by no more (m)


class RecordedGround:
    """What can be reached from under the sensor by small steps from cell to cell.

    It goes on through small holes; everything else is unknown.

    Args:
        points: (N, 3) in the odometry frame, metres.
        under: (K, 3) places on the ground below the sensor.
        reach: metres from these places beyond which nothing is looked at.
        hole: metres without a point that the ground is taken to go on through.

    Attributes:
        low: (2,) x, y of the corner of the grid; size: (2,) its cells of GROUND_CELL.
        seen: (nx, ny) where points are on the ground.
    """

    def __init__(self, points: Array, under: Array, reach: float, hole: float = 2.0) -> None:
        self.low = under[:, :2].min(0) - reach
        self.size = np.ceil((under[:, :2].max(0) + reach - self.low) / GROUND_CELL).astype(int) + 1
        holes = round(hole / GROUND_CELL)
        self._height, self.seen = self._grow(points[self.inside(points)], under, holes)
        self._filled = self._height
        for _ in range(6):
            around, known = _neighbours(self._filled)
            self._filled = np.where(np.isnan(self._filled) & known, around, self._filled)

    def inside(self, points: Array) -> npt.NDArray[np.bool_]:
        """Which points (N, 2 or more) are in the grid."""
        at = (points[:, :2] - self.low) / GROUND_CELL
        return np.asarray(((at >= 0) & (at < self.size - 1)).all(axis=1))

    def _grow(self, points: Array, under: Array, holes: int) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Height (nx, ny) of the ground, NaN where it is unknown, and where it was seen."""
        nx, ny = self.size
        cell = np.floor((points[:, :2] - self.low) / GROUND_CELL).astype(int)
        index = cell[:, 0] * ny + cell[:, 1]
        order = np.lexsort((points[:, 2], index))
        first, count = np.unique(index[order], return_index=True, return_counts=True)[1:]
        low = np.full(nx * ny, np.nan)
        # A low quartile rather than the lowest point, which is too low by the noise.
        low[index[order[first]]] = points[order[first + count // 4], 2]
        low = low.reshape(nx, ny)
        ground, seen = np.full((nx, ny), np.nan), np.zeros((nx, ny), dtype=bool)
        at = np.floor((under[:, :2] - self.low) / GROUND_CELL).astype(int)
        ground[at[:, 0], at[:, 1]] = under[:, 2]
        _flow(ground, low, seen, holes)
        return np.where(np.isnan(ground), np.nan, _neighbours(ground)[0]), seen

    def height(self, x: Array, y: Array) -> Array:
        """Height of the ground; NaN where it is unknown."""
        u = (np.asarray(x, float) - self.low[0]) / GROUND_CELL - 0.5
        v = (np.asarray(y, float) - self.low[1]) / GROUND_CELL - 0.5
        u, v = (np.clip(q, 0, n - 1.001) for q, n in zip((u, v), self._height.shape, strict=True))
        i, j = u.astype(int), v.astype(int)
        a, b = u - i, v - j
        corners = np.stack([self._height[i + k, j + m] for k in (0, 1) for m in (0, 1)])
        weights = np.stack([(a if k else 1 - a) * (b if m else 1 - b)
                            for k in (0, 1) for m in (0, 1)])  # fmt: skip
        weights = np.where(np.isnan(corners), 0, weights)
        total = weights.sum(0)
        mean = (np.nan_to_num(corners) * weights).sum(0) / np.maximum(total, 1e-9)
        return np.asarray(np.where(total > 0.2, mean, np.nan))

    def tilt(self, x: Array, y: Array, yaw: Array) -> tuple[Array, Array]:
        """Pitch (nose down positive) and roll of a body there with heading yaw."""
        c, s, d = np.cos(yaw), np.sin(yaw), 1.25
        ends = [self.height(x + d * e * q, y + d * e * r)
                for q, r in ((c, s), (-s, c)) for e in (1, -1)]  # fmt: skip
        rise, bank = (np.nan_to_num(ends[k] - ends[k + 1]) for k in (0, 2))
        return -np.arctan(rise / 2.5), np.arctan(bank / 2.5)

    def known(self, x: Array, y: Array) -> npt.NDArray[np.bool_]:
        """Whether the ground is known there."""
        return np.asarray(np.isfinite(self.height(x, y)))

    def near(self, points: Array) -> Array:
        """Height of the ground below points (N, 3), or of that nearby where it is hidden."""
        at = np.floor((points[:, :2] - self.low) / GROUND_CELL).astype(int)
        return np.asarray(self._filled[at[:, 0], at[:, 1]])


@njit(cache=True, nogil=True)
def _flow(ground, low, seen, holes):  # type: ignore[no-untyped-def]
    """Let ground (nx, ny) spread from where it is not NaN, cell by cell, over low (nx, ny).

    Args:
        low: height of what was seen lowest, NaN for nothing. seen: set where it is ground.
        holes: cells without height that it spreads through.
    """
    nx, ny = ground.shape
    hole = np.zeros((nx, ny), dtype=np.int64)
    queue = [(i, j) for i in range(nx) for j in range(ny) if np.isfinite(ground[i, j])]
    done = 0
    while done < len(queue):
        i, j = queue[done]
        done += 1
        for k in range(max(i - 1, 0), min(i + 2, nx)):
            for m in range(max(j - 1, 0), min(j + 2, ny)):
                if np.isfinite(low[k, m]):
                    if seen[k, m] or abs(low[k, m] - ground[i, j]) > _STEP:
                        continue
                    seen[k, m] = True
                    ground[k, m] = low[k, m]
                    hole[k, m] = 0
                    queue.append((k, m))
                elif np.isnan(ground[k, m]) and hole[i, j] < holes:
                    ground[k, m] = ground[i, j]
                    hole[k, m] = hole[i, j] + 1
                    queue.append((k, m))


def _neighbours(grid: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Mean over each cell and its eight neighbours that are known, and where there are any."""
    padded = np.pad(grid, 1, constant_values=np.nan)
    nx, ny = grid.shape
    total, count = np.zeros(grid.shape), np.zeros(grid.shape, dtype=int)
    for i in range(3):
        for j in range(3):
            part = padded[i : i + nx, j : j + ny]
            known = np.isfinite(part)
            total += np.where(known, part, 0.0)
            count += known
    return total / np.maximum(count, 1), count > 0
