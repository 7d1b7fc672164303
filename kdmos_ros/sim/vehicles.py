"""Bodies of vehicles: boxes and wheels with clearance below and windows that let rays through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.sim.solids import BOX, CYLINDER, Body, Solid, body

_QUARTER = np.pi / 2


@dataclass(frozen=True)
class Vehicle:
    """A vehicle's body with its outer length and width in metres."""

    body: Body
    length: float
    width: float
    kind: Kind


def _wheels(axles: list[float], width: float, radius: float, kind: Kind) -> list[Solid]:
    return [
        Solid(CYLINDER, (x, side * (width / 2 - 0.11), radius), (2 * radius, 2 * radius, 0.22),
              kind, 0.12, angles=(_QUARTER, 0, 0))
        for x in axles for side in (-1, 1)
    ]  # fmt: skip


def _car(rng: np.random.Generator) -> Vehicle:
    size = rng.random()
    length = 3.5 + 1.5 * size + rng.normal(0, 0.08)
    width = 1.62 + 0.28 * size + rng.normal(0, 0.03)
    height = rng.uniform(1.38, 1.55) if rng.random() < 0.7 else rng.uniform(1.55, 1.9)
    clear, belt = rng.uniform(0.15, 0.28), height * rng.uniform(0.56, 0.66)
    paint = draw_reflectivity(rng, Kind.CAR)
    hood = rng.uniform(0.15, 0.3) * length
    trunk = 0.0 if rng.random() < 0.5 else rng.uniform(0.05, 0.2) * length
    nose = belt * rng.uniform(0.82, 1.0)
    middle, cabin = (trunk - hood) / 2, length - hood - trunk
    sill = clear + 0.45 * (belt - clear)
    glass: dict[str, Any] = {"surface": rng.uniform(0.1, 0.9), "density": rng.uniform(0.05, 0.6),
                             "gloss": rng.uniform(0.0, 3.0)}  # fmt: skip
    roof = 0.06
    parts = [
        Solid(BOX, (0, 0, (clear + sill) / 2), (length, width * 0.96, sill - clear),
              Kind.CAR, paint),
        Solid(BOX, (0, 0, (sill + nose) / 2), (length * 0.96, width, nose - sill), Kind.CAR, paint),
        Solid(BOX, (middle, 0, (nose + belt) / 2), (cabin, width, belt - nose + 0.02),
              Kind.CAR, paint),
        Solid(BOX, (middle - 0.03 * length, 0, (belt + height - roof) / 2),
              (cabin * 0.86, width * 0.86, height - belt - roof), Kind.CAR, 0.2, **glass),
        Solid(BOX, (middle - 0.05 * length, 0, height - roof / 2),
              (cabin * 0.7, width * 0.8, roof), Kind.CAR, paint),
    ]  # fmt: skip
    for fore, shift in ((1, 0.38), (-1, 0.44), (-1, 0.0)):  # pillars
        for side in (-1, 1):
            x = middle - 0.03 * length + fore * shift * cabin
            parts.append(Solid(BOX, (x, side * width * 0.42, (belt + height) / 2),
                               (0.09, 0.07, height - belt - 0.02), Kind.CAR, paint))  # fmt: skip
    radius = rng.uniform(0.29, 0.36)
    parts += _wheels([0.31 * length, -0.3 * length], width, radius, Kind.CAR)
    return Vehicle(body(parts), length, width, Kind.CAR)


def _van(rng: np.random.Generator) -> Vehicle:
    length, width = rng.uniform(4.4, 6.8), rng.uniform(1.8, 2.1)
    height, clear = rng.uniform(1.9, 2.8), rng.uniform(0.2, 0.35)
    paint = draw_reflectivity(rng, Kind.VAN)
    hood, belt = rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.25)
    front = rng.uniform(1.0, 1.6)
    windows = rng.random() < 0.4  # a people carrier instead of a goods van
    load = length - hood - front
    side: dict[str, Any] = {"surface": 0.45, "density": 0.3} if windows else {}
    parts = [
        Solid(BOX, (0, 0, (clear + belt) / 2), (length, width, belt - clear), Kind.VAN, paint),
        Solid(BOX, (length / 2 - hood - front / 2, 0, (belt + height) / 2),
              (front, width * 0.9, height - belt), Kind.VAN, 0.25, surface=0.4, density=0.4),
        Solid(BOX, (-length / 2 + load / 2, 0, (belt + height) / 2),
              (load, width * 0.96, height - belt), Kind.VAN, paint, **side),
        Solid(BOX, (-hood / 2, 0, height - 0.04), (length - hood - 0.3, width * 0.92, 0.08),
              Kind.VAN, paint),
    ]  # fmt: skip
    parts += _wheels([0.32 * length, -0.3 * length], width, rng.uniform(0.31, 0.38), Kind.VAN)
    return Vehicle(body(parts), length, width, Kind.VAN)


def _truck(rng: np.random.Generator) -> Vehicle:
    articulated = rng.random() < 0.4
    length = rng.uniform(11, 16.5) if articulated else rng.uniform(6, 10)
    width, height = rng.uniform(2.2, 2.55), rng.uniform(2.8, 4.0)
    cab, gap, floor = rng.uniform(1.6, 2.3), rng.uniform(0.3, 1.0), rng.uniform(0.9, 1.3)
    paint, cargo = draw_reflectivity(rng, Kind.TRUCK), draw_reflectivity(rng, Kind.TRUCK)
    cab_height = min(height, rng.uniform(2.6, 3.6))
    load = length - cab - gap
    open_bed = rng.random() < 0.2
    top = floor + rng.uniform(0.4, 0.9) if open_bed else height
    parts = [
        Solid(BOX, (length / 2 - cab / 2, 0, 1.05), (cab, width * 0.97, 1.4), Kind.TRUCK, paint),
        Solid(BOX, (length / 2 - cab / 2, 0, (1.75 + cab_height) / 2),
              (cab * 0.95, width * 0.95, cab_height - 1.75), Kind.TRUCK, paint,
              surface=0.75, density=0.5),
        Solid(BOX, (-length / 2 + load / 2, 0, (floor + top) / 2), (load, width, top - floor),
              Kind.TRUCK, cargo),
        Solid(BOX, (-cab / 2, 0, floor - 0.2), (length - cab, 0.9, 0.25), Kind.TRUCK, 0.15),
    ]  # fmt: skip
    if rng.random() < 0.5:  # side guards and tanks
        parts.append(Solid(BOX, (-0.1 * length, 0, 0.65), (0.3 * load, width * 0.9, 0.5),
                           Kind.TRUCK, 0.25))  # fmt: skip
    axles = [length / 2 - cab * 0.6, -length * 0.3, -length * 0.3 - 1.25]
    if articulated:
        axles.append(length / 2 - cab - gap - 1.2)
    parts += _wheels(axles, width, 0.48, Kind.TRUCK)
    return Vehicle(body(parts), length, width, Kind.TRUCK)


def _bus(rng: np.random.Generator) -> Vehicle:
    length, width = rng.uniform(8.5, 13.5), rng.uniform(2.4, 2.55)
    height, belt = rng.uniform(2.8, 3.3), rng.uniform(1.1, 1.4)
    paint = draw_reflectivity(rng, Kind.BUS)
    parts = [
        Solid(BOX, (0, 0, (0.3 + belt) / 2), (length, width, belt - 0.3), Kind.BUS, paint),
        Solid(BOX, (0, 0, (belt + height - 0.4) / 2), (length * 0.99, width * 0.97,
              height - 0.4 - belt), Kind.BUS, 0.2, surface=rng.uniform(0.35, 0.8), density=0.3),
        Solid(BOX, (0, 0, height - 0.2), (length * 0.98, width, 0.4), Kind.BUS, paint),
    ]  # fmt: skip
    parts += _wheels([0.3 * length, -0.28 * length], width, 0.46, Kind.BUS)
    return Vehicle(body(parts), length, width, Kind.BUS)


_MAKERS = {Kind.CAR: _car, Kind.VAN: _van, Kind.TRUCK: _truck, Kind.BUS: _bus}


def draw_vehicle(rng: np.random.Generator, kind: Kind | None = None) -> Vehicle:
    """A vehicle of some kind; most are cars, as on the road."""
    if kind is None:
        kinds = [Kind.CAR, Kind.VAN, Kind.TRUCK, Kind.BUS]
        kind = kinds[int(rng.choice(4, p=[0.77, 0.15, 0.055, 0.025]))]
    return _MAKERS[kind](rng)
