"""What recorded scans tell of a place: where its ground is, and what stands or moves on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.labels import STATIC, UNLABELLED

Array = npt.NDArray[Any]
CELL = 0.25  # of the map of what stands there (m)
_COARSE = 0.5  # of the ground (m)
_STEP = 0.18  # from cell to cell, ground rises by no more (m)
_HOLE = 4  # cells without a point that the ground is taken to go on through
LOW, HIGH = 0.25, 2.3  # what stands in the way of people and vehicles (m above ground)
_ABOVE_ALL = 4.6  # no vehicle is taller (m)
_ON_GROUND = 0.1
_LAYER = 0.5


class RecordedPlace:
    """The surroundings of a drive, from all of its scans.

    Ground is what can be reached from under the sensor by small steps from cell to cell. It goes on
    through small holes; everything else is unknown, and nothing is cast there. Whatever was seen
    above it in any of the scans, moving or not, keeps its place for the whole drive.

    Args:
        clouds: of each scan the points (N, 3) in the odometry frame, metres.
        under: (K, 3) places on the ground below the sensor.
        reach: metres from these places beyond which nothing is looked at.
    """

    def __init__(self, clouds: list[Array], under: Array, reach: float = 60.0) -> None:
        self._low = under[:, :2].min(0) - reach
        self._size = np.ceil((under[:, :2].max(0) + reach - self._low) / _COARSE).astype(int) + 1
        points = np.concatenate(clouds)
        points = points[self._inside(points)]
        self._ground, self.seen = self._grow(points, under)
        self._filled = self._ground
        for _ in range(6):
            around, known = _neighbours(self._filled)
            self._filled = np.where(np.isnan(self._filled) & known, around, self._filled)
        self._fine = self._size * round(_COARSE / CELL)
        above = points[:, 2] - self.height(points[:, 0], points[:, 1])
        solid = (above > LOW) & (above < HIGH) & self.known(points[:, 0], points[:, 1])
        self._stands = self._count(points[solid]) >= 2
        self._tall = self._tall_columns(clouds)

    def _inside(self, points: Array) -> npt.NDArray[np.bool_]:
        at = (points[:, :2] - self._low) / _COARSE
        return np.asarray(((at >= 0) & (at < self._size - 1)).all(axis=1))

    def _grow(self, points: Array, under: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Height (nx, ny) of the ground, NaN where it is unknown, and where it was seen."""
        nx, ny = self._size
        cell = np.floor((points[:, :2] - self._low) / _COARSE).astype(int)
        index = cell[:, 0] * ny + cell[:, 1]
        order = np.lexsort((points[:, 2], index))
        first, count = np.unique(index[order], return_index=True, return_counts=True)[1:]
        low = np.full(nx * ny, np.nan)
        # A low quartile rather than the lowest point, which is too low by the noise.
        low[index[order[first]]] = points[order[first + count // 4], 2]
        low = low.reshape(nx, ny)
        ground, seen = np.full((nx, ny), np.nan), np.zeros((nx, ny), dtype=bool)
        at = np.floor((under[:, :2] - self._low) / _COARSE).astype(int)
        ground[at[:, 0], at[:, 1]] = under[:, 2]
        _flow(ground, low, seen)
        return np.where(np.isnan(ground), np.nan, _neighbours(ground)[0]), seen

    def _count(self, points: Array) -> Array:
        at = np.floor((points[:, :2] - self._low) / CELL).astype(int)
        count = np.bincount(at[:, 0] * self._fine[1] + at[:, 1], minlength=int(self._fine.prod()))
        return count.reshape(self._fine)

    def height(self, x: Array, y: Array) -> Array:
        """Height of the ground; NaN where it is unknown."""
        u = (np.asarray(x, float) - self._low[0]) / _COARSE - 0.5
        v = (np.asarray(y, float) - self._low[1]) / _COARSE - 0.5
        u, v = (np.clip(q, 0, n - 1.001) for q, n in zip((u, v), self._ground.shape, strict=True))
        i, j = u.astype(int), v.astype(int)
        a, b = u - i, v - j
        corners = np.stack([self._ground[i + k, j + m] for k in (0, 1) for m in (0, 1)])
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

    def clear(self, line: Array, room: float) -> bool:
        """Whether all that stands keeps `room` metres from points (K, 2) on known ground."""
        ring = np.arange(0, 2 * np.pi, np.pi / 6)
        off = np.stack([np.cos(ring), np.sin(ring)], axis=-1)
        around = np.concatenate([[[0.0, 0.0]], 0.5 * room * off, room * off])
        return self._free((line[:, None] + around).reshape(-1, 2))

    def clear_of(self, track: Array, size: tuple[float, float], room: float = 0.2) -> bool:
        """The same for a body of a length and width on a track (K, 3) of x, y, yaw."""
        half = [0.5 * s + room for s in size]
        grid = np.stack(np.meshgrid(*(np.linspace(-h, h, 2 + int(2 * h / CELL)) for h in half)),
                        axis=-1).reshape(-1, 2)  # fmt: skip
        c, s = np.cos(track[:, 2]), np.sin(track[:, 2])
        turn = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], axis=-2)
        return self._free((track[:, None, :2] + np.einsum("kij,nj->kni", turn, grid))
                          .reshape(-1, 2))  # fmt: skip

    def _free(self, xy: Array) -> bool:
        at = np.floor((xy - self._low) / CELL).astype(int)
        if (at < 0).any() or (at >= self._fine).any():
            return False
        if self._stands[at[:, 0], at[:, 1]].any():
            return False
        return bool(self.known(xy[:, 0], xy[:, 1]).all())

    def places(self, beside: bool) -> Array:
        """Centres (P, 2) of ground cells that were seen and are free.

        Args:
            beside: only those 0.4 to 1.2 m from something that stands there.
        """
        scale = round(_COARSE / CELL)
        blocks = self._stands.reshape(self._size[0], scale, self._size[1], scale)
        taken = np.asarray(blocks.any(axis=(1, 3)))
        near, far = _spread(taken, 1), _spread(taken, 2)
        wanted = self.seen & ~near & far if beside else self.seen & ~taken
        return self._low + (np.argwhere(wanted) + 0.5) * _COARSE

    def _tall_columns(self, clouds: list[Array]) -> npt.NDArray[np.bool_]:
        """Cells where, at the begin and at the end, something reaches from the ground to where no
        vehicle does: fronts, trunks."""
        ends = [range(len(clouds) // 2), range((len(clouds) + 1) // 2, len(clouds))]
        layers = int(_ABOVE_ALL / _LAYER)
        tall = np.ones(self._fine // 2, dtype=bool)
        for part in ends:
            filled = np.zeros((layers, *(self._fine // 2)), dtype=bool)
            for k in part:
                points = clouds[k][self._inside(clouds[k])]
                above = points[:, 2] - self._near(points)
                keep = (above > LOW) & (above < _ABOVE_ALL)
                layer = np.minimum((above[keep] / _LAYER).astype(int), layers - 1)
                at = np.floor((points[keep, :2] - self._low) / (2 * CELL)).astype(int)
                filled[layer, at[:, 0], at[:, 1]] = True
            tall &= filled.sum(0) >= layers - 1
        return np.asarray(tall.repeat(2, axis=0).repeat(2, axis=1))

    def _near(self, points: Array) -> Array:
        """Height of the ground below points (N, 3), or of that nearby where it is hidden."""
        at = np.floor((points[:, :2] - self._low) / _COARSE).astype(int)
        return np.asarray(self._filled[at[:, 0], at[:, 1]])

    def surely_static(self, cloud: Array) -> npt.NDArray[np.uint8]:
        """STATIC for those points (N, 3) of a scan that cannot move, whatever they belong to.

        The ground, but for what is near anything that stood or moved on it in this scan; what is
        higher than any vehicle; fronts and trunks that reach up there. All else stays UNLABELLED:
        hedges, parked cars and those that drive look alike to a rule that knows no classes.
        """
        labels = np.full(len(cloud), UNLABELLED, dtype=np.uint8)
        inside = np.flatnonzero(self._inside(cloud))
        points = cloud[inside]
        above = points[:, 2] - self._near(points)
        on = self.known(points[:, 0], points[:, 1]) & (np.abs(above) < _ON_GROUND)
        solid = (above > LOW) & (above < 2 * HIGH)
        at = np.floor((points[:, :2] - self._low) / CELL).astype(int)
        near = _spread(self._count(points[solid]) > 0, 2)[at[:, 0], at[:, 1]]
        sure = (on & ~near) | (above > _ABOVE_ALL)
        sure |= self._tall[at[:, 0], at[:, 1]] & (above > LOW)
        labels[inside[sure]] = STATIC
        return labels


@njit(cache=True, nogil=True)
def _flow(ground, low, seen):  # type: ignore[no-untyped-def]
    """Let ground (nx, ny) spread from where it is not NaN, cell by cell, over low (nx, ny).

    Args:
        low: height of what was seen lowest, NaN for nothing. seen: set where it is ground.
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
                elif np.isnan(ground[k, m]) and hole[i, j] < _HOLE:
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


def _least(grid: Array) -> Array:
    padded = np.pad(grid, 1, mode="edge")
    nx, ny = grid.shape
    parts = [padded[i : i + nx, j : j + ny] for i in range(3) for j in range(3)]
    return np.asarray(np.minimum.reduce(parts))


def _spread(mask: Array, cells: int) -> npt.NDArray[np.bool_]:
    """Whether anything is set within so many cells."""
    for _ in range(cells):
        mask = ~_least(~mask)
    return mask
