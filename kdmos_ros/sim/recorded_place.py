"""What recorded scans tell of a place: where its ground is, and what stands or moves on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import STATIC, UNLABELLED
from kdmos_ros.sim.recorded_ground import GROUND_CELL, RecordedGround

Array = npt.NDArray[Any]
CELL = 0.25  # of the map of what stands there (m)
LOW, HIGH = 0.25, 2.3  # what stands in the way of people and vehicles (m above ground)
_ABOVE_ALL = 4.6  # no vehicle is taller (m)
_ON_GROUND = 0.1
_LAYER = 0.5


class RecordedPlace:
    """The surroundings of a drive, from all of its scans.

    Nothing is cast where the ground is unknown. Whatever was seen above it in any of the scans,
    moving or not, keeps its place for the whole drive.

    Args:
        clouds: of each scan the points (N, 3) in the odometry frame, metres.
        under: (K, 3) places on the ground below the sensor.
        reach: metres from these places beyond which nothing is looked at.
        hole: metres without a point that the ground is taken to go on through.

    Attributes:
        ground: see `RecordedGround`.
    """

    def __init__(
        self, clouds: list[Array], under: Array, reach: float = 60.0, hole: float = 2.0
    ) -> None:
        points = np.concatenate(clouds)
        self.ground = RecordedGround(points, under, reach, hole)
        self._fine = self.ground.size * round(GROUND_CELL / CELL)
        points = points[self.ground.inside(points)]
        above = points[:, 2] - self.ground.height(points[:, 0], points[:, 1])
        # Where the ground is unknown the comparison with NaN is false.
        self._stands = self._count(points[(above > LOW) & (above < HIGH)]) >= 2
        self._tall = self._tall_columns(clouds)

    def _count(self, points: Array) -> Array:
        at = np.floor((points[:, :2] - self.ground.low) / CELL).astype(int)
        count = np.bincount(at[:, 0] * self._fine[1] + at[:, 1], minlength=int(self._fine.prod()))
        return count.reshape(self._fine)

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
        at = np.floor((xy - self.ground.low) / CELL).astype(int)
        if (at < 0).any() or (at >= self._fine).any():
            return False
        if self._stands[at[:, 0], at[:, 1]].any():
            return False
        return bool(self.ground.known(xy[:, 0], xy[:, 1]).all())

    def places(self, beside: bool) -> Array:
        """Centres (P, 2) of ground cells that were seen and are free.

        Args:
            beside: only those 0.4 to 1.2 m from something that stands there.
        """
        scale = round(GROUND_CELL / CELL)
        blocks = self._stands.reshape(self.ground.size[0], scale, self.ground.size[1], scale)
        taken = np.asarray(blocks.any(axis=(1, 3)))
        near, far = _spread(taken, 1), _spread(taken, 2)
        wanted = self.ground.seen & ~near & far if beside else self.ground.seen & ~taken
        return self.ground.low + (np.argwhere(wanted) + 0.5) * GROUND_CELL

    def _tall_columns(self, clouds: list[Array]) -> npt.NDArray[np.bool_]:
        """Cells where, at the begin and at the end, something reaches from the ground to where no
        vehicle does: fronts, trunks."""
        ends = [range(len(clouds) // 2), range((len(clouds) + 1) // 2, len(clouds))]
        layers = int(_ABOVE_ALL / _LAYER)
        tall = np.ones(self._fine // 2, dtype=bool)
        for part in ends:
            filled = np.zeros((layers, *(self._fine // 2)), dtype=bool)
            for k in part:
                points = clouds[k][self.ground.inside(clouds[k])]
                above = points[:, 2] - self.ground.near(points)
                keep = (above > LOW) & (above < _ABOVE_ALL)
                layer = np.minimum((above[keep] / _LAYER).astype(int), layers - 1)
                at = np.floor((points[keep, :2] - self.ground.low) / (2 * CELL)).astype(int)
                filled[layer, at[:, 0], at[:, 1]] = True
            tall &= filled.sum(0) >= layers - 1
        return np.asarray(tall.repeat(2, axis=0).repeat(2, axis=1))

    def surely_static(self, cloud: Array) -> npt.NDArray[np.uint8]:
        """STATIC for those points (N, 3) of a scan that cannot move, whatever they belong to.

        The ground, but for what is near anything that stood or moved on it in this scan; what is
        higher than any vehicle; fronts and trunks that reach up there. All else stays UNLABELLED:
        hedges, parked cars and those that drive look alike to a rule that knows no classes.
        """
        labels = np.full(len(cloud), UNLABELLED, dtype=np.uint8)
        inside = np.flatnonzero(self.ground.inside(cloud))
        points = cloud[inside]
        above = points[:, 2] - self.ground.near(points)
        on = self.ground.known(points[:, 0], points[:, 1]) & (np.abs(above) < _ON_GROUND)
        solid = (above > LOW) & (above < 2 * HIGH)
        at = np.floor((points[:, :2] - self.ground.low) / CELL).astype(int)
        near = _spread(self._count(points[solid]) > 0, 2)[at[:, 0], at[:, 1]]
        sure = (on & ~near) | (above > _ABOVE_ALL)
        sure |= self._tall[at[:, 0], at[:, 1]] & (above > LOW)
        labels[inside[sure]] = STATIC
        return labels


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
