"""Object kinds of the simulated world, and what a laser makes of their surfaces."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Kind(IntEnum):
    """What a simulated point belongs to. Kinds from CAR on are traffic participants."""

    NOISE = 0
    ROAD = 1
    PAVEMENT = 2
    TERRAIN = 3
    BUILDING = 4
    WALL = 5
    FENCE = 6
    POLE = 7
    SIGN = 8
    TRUNK = 9
    VEGETATION = 10
    OBJECT = 11  # bins, boxes, benches, statues: things that only look like participants
    CAR = 20
    VAN = 21
    TRUCK = 22
    BUS = 23
    MOTORCYCLE = 24
    BICYCLE = 25  # with or without its rider
    PEDESTRIAN = 26


FIRST_PARTICIPANT = Kind.CAR

# Diffuse reflectivity at 905 nm: mean and spread by kind, a plain reading of lidar data sheets.
_REFLECTIVITY = {
    Kind.ROAD: (0.27, 0.05),
    Kind.PAVEMENT: (0.32, 0.06),
    Kind.TERRAIN: (0.38, 0.08),
    Kind.BUILDING: (0.38, 0.12),
    Kind.WALL: (0.35, 0.10),
    Kind.FENCE: (0.35, 0.15),
    Kind.POLE: (0.35, 0.15),
    Kind.SIGN: (0.90, 0.10),
    Kind.TRUNK: (0.30, 0.08),
    Kind.VEGETATION: (0.35, 0.10),
    Kind.OBJECT: (0.35, 0.15),
    Kind.CAR: (0.30, 0.22),
    Kind.VAN: (0.40, 0.22),
    Kind.TRUCK: (0.40, 0.20),
    Kind.BUS: (0.40, 0.20),
    Kind.MOTORCYCLE: (0.25, 0.12),
    Kind.BICYCLE: (0.30, 0.12),
    Kind.PEDESTRIAN: (0.35, 0.15),
}

_LACQUERED = (Kind.CAR, Kind.VAN, Kind.MOTORCYCLE)


def is_participant(kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether points of these kinds (N,) are movable at all."""
    return np.asarray(kind) >= FIRST_PARTICIPANT


def draw_reflectivity(rng: np.random.Generator, kind: Kind) -> float:
    """Reflectivity of one object of a kind, 0.003..1."""
    mean, spread = _REFLECTIVITY[kind]
    if kind in _LACQUERED and rng.random() < 0.25:  # dark lacquer hardly scatters light back
        return float(np.exp(rng.uniform(np.log(0.003), np.log(0.03))))
    return float(np.clip(rng.normal(mean, spread), 0.03, 1.0))
