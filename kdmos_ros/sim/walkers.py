"""People close beside structure: bodies with knees and feet whose gait fits their speed, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.sim.clearance import Clearance
from kdmos_ros.sim.paths import Path
from kdmos_ros.sim.solids import BOX, CYLINDER, ELLIPSOID, Body, Solid, body
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.traffic import Track, desired_speed, draw_style, follow, integrate, standing
from kdmos_ros.sim.world import Actor

Array = npt.NDArray[Any]
SLOWEST, FASTEST = 0.5, 1.6  # m/s, of those who neither stand nor run
_ROOM = 0.28  # between the middle of a person and what stands there (m)


def draw_walker(rng: np.random.Generator, speed: float) -> tuple[Body, float]:
    """A person who walks at a speed (m/s) or stands (0): rows of solids, and metres a stride.

    Steps get longer with the speed, about 0.4 of the body's height at 1.3 m/s; thighs swing about
    the hip as far as such steps need, knees bend while the foot is off the ground.
    """
    kind = Kind.PEDESTRIAN
    tall = float(rng.normal(1.7, 0.1)) if rng.random() < 0.88 else float(rng.uniform(0.95, 1.45))
    tall = float(np.clip(tall, 0.9, 1.98))
    step = tall * min(0.22 + 0.145 * speed, 0.62)
    hip, shoulder, knee = 0.5 * tall, 0.82 * tall, 0.28 * tall
    thigh = float(np.arcsin(min(step / (2 * hip), 0.8)))
    wide = tall * rng.uniform(0.21, 0.32)
    cloth, legs = draw_reflectivity(rng, kind), draw_reflectivity(rng, kind)
    arms, wave = thigh * rng.uniform(0.3, 1.2), rng.uniform(0.2, 1.3)
    lean = float(np.clip(0.03 * speed + rng.normal(0, 0.05), -0.1, 0.3))
    parts = [
        Solid(ELLIPSOID, (0.02, 0, (hip + shoulder) / 2 + 0.02), (wide * 0.62, wide, 0.44 * tall),
              kind, cloth, angles=(0, lean, 0)),
        Solid(BOX, (0, 0, hip + 0.03), (wide * 0.5, wide * 0.78, 0.2), kind, legs),
        Solid(ELLIPSOID, (0.04 + 0.3 * lean, 0, tall - 0.115), (0.2, 0.16, 0.24), kind, 0.45),
    ]  # fmt: skip
    if rng.random() < 0.2:  # a coat or skirt down to the knees
        parts.append(Solid(CYLINDER, (0, 0, (hip + knee) / 2), (wide * 0.9, wide, hip - knee),
                           kind, cloth, surface=0.95))  # fmt: skip
    thick = rng.uniform(0.11, 0.17)
    for side in (-1, 1):
        limb: dict[str, Any] = {"swing": side * thigh, "pivot": hip}
        bend = {**limb, "flex": min(0.45 + 0.4 * speed, 1.3), "hinge": knee}
        y = side * wide * 0.24
        parts += [
            Solid(CYLINDER, (0, y, (hip + knee) / 2), (thick, thick, hip - knee), kind, legs,
                  **limb),
            Solid(CYLINDER, (0, y, knee / 2), (0.75 * thick, 0.75 * thick, knee), kind, legs,
                  **bend),
            Solid(BOX, (0.06, y, 0.04), (0.15 * tall, 0.09, 0.08), kind, legs, **bend),
        ]  # fmt: skip
        length = 0.43 * tall
        parts.append(Solid(CYLINDER, (0, side * wide * 0.55, shoulder - length / 2),
                           (0.085, 0.085, length), kind, cloth, swing=-side * arms, gesture=wave,
                           pivot=shoulder))  # fmt: skip
    parts += _carried(rng, tall, wide)
    return body(parts), 2 * step


def _carried(rng: np.random.Generator, tall: float, wide: float) -> list[Solid]:
    kind, what = Kind.PEDESTRIAN, rng.random()
    if what < 0.12:  # a rucksack
        return [Solid(BOX, (-wide * 0.45, 0, 0.68 * tall), (0.2, 0.3, 0.42), kind, 0.3)]
    if what < 0.17:  # a push-chair
        return [Solid(BOX, (0.75, 0, 0.65), (0.7, 0.45, 0.5), kind, 0.3, surface=0.8),
                Solid(BOX, (0.75, 0, 0.2), (0.6, 0.45, 0.3), kind, 0.3, surface=0.4)]  # fmt: skip
    if what < 0.25:  # a bag
        return [Solid(BOX, (0.02, wide * 0.6, 0.32 * tall), (0.35, 0.14, 0.3), kind, 0.3)]
    if what < 0.28:  # an umbrella
        return [Solid(ELLIPSOID, (0.1, 0, tall + 0.2), (1.0, 1.0, 0.3), kind, 0.3, surface=0.95)]
    if what < 0.31:  # a suitcase on wheels
        return [Solid(BOX, (-0.5, 0.2, 0.35), (0.25, 0.4, 0.6), kind, 0.3)]
    return []


def walkers(stage: Stage, path: Path, start: float, obstacles: Clearance, speed: float,
            count: int = 1) -> int:  # fmt: skip
    """People who go along a path together, or stand about there if their speed is 0.

    Those who would run into something that stands there are left out.

    Args:
        start: arc length where their middle is at first.
        obstacles: what they keep clear of.

    Returns:
        how many came.
    """
    rng, came = stage.rng, 0
    style = "standing"
    if speed > 0:
        style = "steady" if rng.random() < 0.8 else draw_style(rng)
    pairs = rng.random() < 0.5  # side by side, or one after the other
    for k in range(count):
        own = speed * rng.uniform(0.95, 1.05)
        person, stride = draw_walker(rng, own)
        want = desired_speed(rng, stage.times, own, style)
        aside = (k % 2 - 0.5) * rng.uniform(0.5, 0.8) if count > 1 and pairs else rng.normal(0, 0.1)
        behind = (k // 2 if pairs else k) * rng.uniform(0.5, 0.9)
        way = path.shifted(aside)
        if speed == 0:
            x, y, yaw = way.at(start - behind)
            wave = rng.uniform(0.3, 1.2) if rng.random() < 0.4 else 0.0
            track = standing((x, y, yaw + rng.uniform(0, 6.3)), len(want), wave)
        else:
            s, v = integrate(want, start - behind, accel=1.0)
            track = follow(way, s, v, stride=stride)
        came += _join(stage, person, track, obstacles)
    return came


def _join(stage: Stage, person: Body, track: Track, obstacles: Clearance) -> bool:
    if not obstacles.clear(track.pose[::4, :2], _ROOM):
        return False
    stage.actors.append(Actor(person, track, (0.6, 0.6)))
    return True


def draw_pace(rng: np.random.Generator, stand: float = 0.15) -> float:
    """Speed (m/s) of people on a pavement; `stand`: share of those who stand."""
    if rng.random() < stand:
        return 0.0
    if rng.random() < 0.04:
        return float(rng.uniform(2.2, 3.6))  # a runner
    return float(np.clip(rng.normal(1.15, 0.28), SLOWEST, FASTEST))
