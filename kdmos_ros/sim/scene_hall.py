"""A hall: four walls, a ceiling, pillars, shelves and boxes, people who walk about among them."""

from __future__ import annotations

import numpy as np

from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.sim import scenery
from kdmos_ros.sim.clearance import Obstacles
from kdmos_ros.sim.paths import trace
from kdmos_ros.sim.solids import BOX, CYLINDER, Body, Solid, body
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.traffic import follow, integrate
from kdmos_ros.sim.walkers import draw_pace, walkers
from kdmos_ros.sim.world import Plan

_THICK = 0.3  # of walls and ceiling (m)
_CLEAR = 1.2  # what stands keeps off the ego's way (m)
_LEVEL = 0.02  # a floor rises and falls by so much of what open ground does


def hall(stage: Stage) -> Plan:
    """Plan a hall with a flat floor, 10-30 m wide, in which the ego drives straight or stands."""
    rng = stage.rng
    speed = np.minimum(stage.ego_speed(1.5), 1.5)
    length = stage.travel(speed) + float(rng.uniform(14, 40))
    width, tall = float(rng.uniform(10, 30)), float(rng.uniform(2.6, 8.0))
    start, aside = float(rng.uniform(5, 8)), float(rng.uniform(-0.25, 0.25)) * width
    for _ in range(int(rng.integers(4, 20))):
        x, y = rng.uniform(0.5, length - 0.5), rng.choice([-1, 1]) * width * rng.beta(3, 1) / 2
        stage.place(_furniture(rng, tall), x, 0.98 * y, float(rng.normal(0, 0.1)))
    path = trace((0.0, aside, 0.0), [(length, 0.0)])
    s, v = integrate(speed, start)
    ego = follow(path, s, v)
    stage.clear(ego, [(path.xy, _CLEAR)])
    stage.place(_shell(rng, length, width, tall), 0.0, 0.0, 0.0)  # around the way, so not cleared
    obstacles = Obstacles(stage.placed)
    x0, came = start + 0.5 * stage.travel(speed), 0
    for _ in range(int(rng.integers(4, 14)) if stage.movers else 0):
        heading, far = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 10.0)
        bearing = rng.uniform(0, 2 * np.pi)
        x, y = x0 + far * np.cos(bearing), aside + far * np.sin(bearing)
        pace = draw_pace(rng)
        reach = 0.5 * pace * float(stage.times[-1]) + 1.0
        way = trace((x - reach * np.cos(heading), y - reach * np.sin(heading), heading),
                    [(2 * reach + 4.0, 0.0)])  # fmt: skip
        came += walkers(stage, way, 0.5, obstacles, pace, int(rng.integers(1, 3)))
    ground = ground_around(rng, [path], [(path.xy, width)], paved=True)
    ground.grid[..., 0] *= _LEVEL
    return Plan(ground, ego, stage.placed, stage.actors, doubts=True)


def _shell(rng: np.random.Generator, length: float, width: float, tall: float) -> Body:
    """Walls and a ceiling; the floor's near end is in the middle of the first wall."""
    kind, middle, high = Kind.BUILDING, length / 2, tall / 2
    paint = draw_reflectivity(rng, kind)
    parts = [
        Solid(BOX, (middle, side * (width + _THICK) / 2, high), (length, _THICK, tall + 2), kind,
              paint)
        for side in (-1, 1)
    ]  # fmt: skip
    parts += [
        Solid(BOX, (x, 0, high), (_THICK, width, tall + 2), kind, paint)
        for x in (-_THICK / 2, length + _THICK / 2)
    ]
    parts.append(Solid(BOX, (middle, 0, tall + _THICK / 2), (length, width, _THICK), kind,
                       draw_reflectivity(rng, kind)))  # fmt: skip
    return body(parts)


def _furniture(rng: np.random.Generator, tall: float) -> Body:
    """A pillar, a shelf, a table or what stands about."""
    kind, what = Kind.OBJECT, rng.random()
    grey = draw_reflectivity(rng, kind)
    if what < 0.25:
        thick = float(rng.uniform(0.3, 0.8))
        return body([Solid(CYLINDER, (0, 0, tall / 2), (thick, thick, tall), Kind.POLE, grey)])
    if what < 0.55:
        size = (float(rng.uniform(1, 5)), float(rng.uniform(0.3, 0.9)), float(rng.uniform(1, 2.4)))
        return body([Solid(BOX, (0, 0, size[2] / 2), size, kind, grey)])
    if what < 0.75:
        top = (float(rng.uniform(0.8, 2)), float(rng.uniform(0.6, 1)), 0.04)
        legs = [Solid(BOX, (sx * top[0] / 2.2, sy * top[1] / 2.2, 0.36), (0.05, 0.05, 0.72), kind,
                      grey) for sx in (-1, 1) for sy in (-1, 1)]  # fmt: skip
        return body([Solid(BOX, (0, 0, 0.74), top, kind, grey), *legs])
    return scenery.draw_clutter(rng)
