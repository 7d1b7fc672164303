"""Bodies of pedestrians, cyclists and motorcyclists, with limbs that swing."""

from __future__ import annotations

import numpy as np

from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.sim.solids import BOX, CYLINDER, ELLIPSOID, Body, Solid, body
from kdmos_ros.sim.vehicles import Vehicle

_QUARTER = np.pi / 2


def draw_pedestrian(rng: np.random.Generator) -> Body:
    """A standing or walking person, 1.0-1.95 m tall, some with a bag or a push-chair."""
    tall = float(rng.normal(1.72, 0.09)) if rng.random() < 0.85 else float(rng.uniform(1.0, 1.5))
    tall = float(np.clip(tall, 1.0, 1.98))
    wide = tall * rng.uniform(0.22, 0.31)
    hip, shoulder = 0.5 * tall, 0.83 * tall
    cloth, legs = draw_reflectivity(rng, Kind.PEDESTRIAN), draw_reflectivity(rng, Kind.PEDESTRIAN)
    stride, arms = rng.uniform(0.3, 0.55), rng.uniform(0.2, 0.6)
    wave = rng.uniform(0.2, 1.3)
    kind = Kind.PEDESTRIAN
    parts = [
        Solid(ELLIPSOID, (0, 0, (hip + shoulder) / 2), (wide * 0.62, wide, (shoulder - hip) * 1.35),
              kind, cloth),
        Solid(BOX, (0, 0, hip + 0.03), (wide * 0.5, wide * 0.8, 0.2), kind, legs),
        Solid(ELLIPSOID, (0, 0, tall - 0.115), (0.19, 0.16, 0.24), kind, 0.45),
    ]  # fmt: skip
    for side in (-1, 1):
        parts.append(Solid(CYLINDER, (0, side * wide * 0.22, hip / 2), (0.14, 0.14, hip), kind,
                           legs, swing=side * stride, pivot=hip))  # fmt: skip
        length = 0.42 * tall
        parts.append(Solid(CYLINDER, (0, side * wide * 0.56, shoulder - length / 2),
                           (0.09, 0.09, length), kind, cloth, swing=-side * arms, gesture=wave,
                           phase=0.0, pivot=shoulder))  # fmt: skip
    extra = rng.random()
    if extra < 0.12:
        parts.append(Solid(BOX, (-wide * 0.45, 0, 0.68 * tall), (0.2, 0.3, 0.42), kind, 0.3))
    elif extra < 0.18:
        parts.append(Solid(BOX, (0.75, 0, 0.65), (0.7, 0.45, 0.5), kind, 0.3, surface=0.8))
        parts.append(Solid(BOX, (0.75, 0, 0.2), (0.6, 0.45, 0.3), kind, 0.3, surface=0.4))
    elif extra < 0.26:
        parts.append(Solid(BOX, (0.02, wide * 0.6, 0.32 * tall), (0.35, 0.14, 0.3), kind, 0.3))
    return body(parts)


def draw_cyclist(rng: np.random.Generator, rider: bool = True) -> Vehicle:
    """A bicycle, with or without its rider."""
    kind, length = Kind.BICYCLE, float(rng.uniform(1.6, 1.85))
    wheel = float(rng.uniform(0.6, 0.71))
    metal = draw_reflectivity(rng, kind)
    parts = [
        Solid(CYLINDER, (side * (length - wheel) / 2, 0, wheel / 2), (wheel, wheel, 0.04), kind,
              metal, angles=(_QUARTER, 0, 0), surface=0.35)
        for side in (-1, 1)
    ]  # fmt: skip
    parts.append(Solid(BOX, (0, 0, 0.68), (0.95, 0.06, 0.28), kind, metal, surface=0.55))
    parts.append(Solid(BOX, (0.42, 0, 1.0), (0.12, 0.55, 0.06), kind, metal))
    if rng.random() < 0.4:  # a basket or bags
        parts.append(Solid(BOX, (-0.5, 0, 0.75), (0.35, 0.35, 0.3), kind, 0.3, surface=0.7))
    if rider:
        cloth, lean = draw_reflectivity(rng, Kind.PEDESTRIAN), rng.uniform(0.15, 0.7)
        parts.append(Solid(ELLIPSOID, (-0.15 + 0.3 * np.sin(lean), 0, 0.95 + 0.3 * np.cos(lean)),
                           (0.28, 0.45, 0.75), kind, cloth, angles=(0, lean, 0)))  # fmt: skip
        head = (-0.15 + 0.72 * np.sin(lean), 0, 0.97 + 0.7 * np.cos(lean))
        parts.append(Solid(ELLIPSOID, head, (0.22, 0.19, 0.25), kind, 0.45))
        for side in (-1, 1):
            parts.append(Solid(CYLINDER, (-0.02, side * 0.13, 0.58), (0.13, 0.13, 0.8), kind, cloth,
                               swing=side * 0.3, pivot=0.95))  # fmt: skip
            parts.append(Solid(CYLINDER, (0.25, side * 0.2, 1.15), (0.08, 0.08, 0.55), kind, cloth,
                               angles=(0, -1.0, 0)))  # fmt: skip
    return Vehicle(body(parts), length, 0.6, kind)


def draw_motorcycle(rng: np.random.Generator, rider: bool = True) -> Vehicle:
    """A motorcycle or scooter, with or without its rider."""
    kind, length = Kind.MOTORCYCLE, float(rng.uniform(1.8, 2.2))
    paint = draw_reflectivity(rng, kind)
    parts = [
        Solid(CYLINDER, (side * (length - 0.6) / 2, 0, 0.3), (0.6, 0.6, 0.14), kind, 0.12,
              angles=(_QUARTER, 0, 0))
        for side in (-1, 1)
    ]  # fmt: skip
    parts.append(Solid(BOX, (0, 0, 0.58), (length * 0.7, 0.32, 0.5), kind, paint))
    parts.append(Solid(BOX, (0.5, 0, 1.0), (0.15, 0.65, 0.12), kind, paint))
    if rider:
        cloth = draw_reflectivity(rng, Kind.PEDESTRIAN)
        parts.append(Solid(ELLIPSOID, (-0.1, 0, 1.12), (0.36, 0.5, 0.7), kind, cloth,
                           angles=(0, 0.25, 0)))  # fmt: skip
        parts.append(Solid(ELLIPSOID, (0.05, 0, 1.58), (0.28, 0.26, 0.3), kind, 0.4))
        for side in (-1, 1):
            parts.append(Solid(BOX, (0.1, side * 0.22, 0.7), (0.55, 0.15, 0.2), kind, cloth))
    return Vehicle(body(parts), length, 0.75, kind)
