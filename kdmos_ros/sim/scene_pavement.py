"""A street where people walk close beside what stands there: fronts, hedges, two-wheelers, cars."""

from __future__ import annotations

import numpy as np

from kdmos_ros.sim import scenery
from kdmos_ros.sim.clearance import Obstacles
from kdmos_ros.sim.participants import cyclist, lane
from kdmos_ros.sim.paths import Path, through, trace
from kdmos_ros.sim.solids import Body
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.walkers import draw_pace, walkers
from kdmos_ros.sim.world import Plan

BACK = 60.0  # road behind the ego (m)
_SEEN = 45.0  # beyond which few points of a person are left (m)


def pavement(stage: Stage) -> Plan:
    """Plan a street with busy pavements."""
    rng, turning = stage.rng, stage.ego_mode == "turning"
    speed = stage.ego_speed(5.0 if turning else 11.0, None if turning else 2.0)
    path = _draw_path(stage, 70.0 + float(speed.max()) * float(stage.times[-1]))
    travel = stage.travel(speed)
    width, bay = rng.uniform(2.4, 3.5), rng.uniform(1.9, 2.3)
    parked = [float(rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.3, 0.7])) for _ in range(2)]
    half = width + bay * (max(parked) > 0)
    wide = [draw_width(rng) for _ in range(2)]
    for side, share, deep in zip((1, -1), parked, wide, strict=True):
        if share:
            stage.park_along(path, side * (half - 0.95), share)
        line_up(stage, path, half, side, deep)
    stage.scatter(path, half + 14, 70, int(rng.integers(5, 40)))
    gap = np.inf if rng.random() < 0.25 else float(np.exp(rng.uniform(np.log(12), np.log(150))))
    cruise = max(float(rng.uniform(2.0, 10.0)), 0.8 * float(speed.max()))
    ego = lane(stage, path.shifted(-0.5 * width), gap, cruise, BACK, ego=speed)
    assert ego is not None
    lane(stage, path.reversed().shifted(-0.5 * width), gap * rng.uniform(0.7, 2), cruise,
         path.length - BACK - rng.uniform(0, 40))  # fmt: skip
    for _ in range(int(rng.poisson(1.5 + travel / 40))):
        cyclist(stage, path.shifted(rng.choice([-1, 1]) * (width - 0.6)),
                BACK + rng.normal(20, 20) + travel * rng.random())  # fmt: skip
    populate(stage, path, half, wide, BACK, travel, int(rng.poisson(9 + travel / 7)))
    stage.clear(ego, [(path.xy, half)])
    ground = ground_around(rng, [path], [(path.xy, half)])
    return Plan(ground, ego, stage.placed, stage.actors, doubts=True)


def _draw_path(stage: Stage, ahead: float) -> Path:
    rng = stage.rng
    legs: list[tuple[float, float]] = [(BACK, 0.0)]
    if stage.ego_mode == "turning":
        radius = rng.uniform(9, 25)
        legs += [(rng.uniform(2, 10), 0.0), (radius * rng.uniform(0.6, 1.6),
                                             rng.choice([-1, 1]) / radius)]  # fmt: skip
    while sum(length for length, _ in legs) < BACK + ahead:
        legs.append((float(rng.uniform(20, 60)), float(rng.choice([0.0, rng.normal(0, 0.008)]))))
    return trace((0.0, 0.0, 0.0), legs)


def draw_width(rng: np.random.Generator) -> float:
    """Width (m) of a pavement; most are narrow."""
    return float(min(1.2 + rng.exponential(1.1), 5.0))


def line_up(stage: Stage, path: Path, half: float, side: int, deep: float) -> None:
    """What stands on one side of a street: a closed front behind, furniture along the kerb.

    Args:
        half: distance of the kerb from the path. side: 1 left, -1 right.
        deep: width of the pavement, from the kerb to the front.
    """
    rng, s = stage.rng, -20.0
    while s < path.length + 20:
        length, what = float(rng.uniform(5, 16)), rng.random()
        front = half + deep + rng.uniform(0, 0.25)
        if what < 0.5:
            _beside(stage, path, s, front, side, scenery.draw_building(rng, length, 9.0), length)
        elif what < 0.8:
            draw = (scenery.draw_hedge, scenery.draw_fence, scenery.draw_wall)
            made = draw[int(rng.choice(3, p=[0.5, 0.3, 0.2]))](rng, length)
            _beside(stage, path, s, front + 0.4, side, made, length)
            if rng.random() < 0.5:
                _beside(stage, path, s, front + rng.uniform(4, 12), side,
                        scenery.draw_building(rng, length, 9.0), length)  # fmt: skip
        elif what < 0.92:  # cars with their noses to the pavement
            for at in np.arange(s + 1.4, s + length - 1.2, 2.7).tolist():
                x, y, yaw = _left_of(path, at, side * (front + 2.5))
                stage.park(x, y, yaw + rng.choice([-1, 1]) * np.pi / 2)
        s += length + (rng.uniform(0.5, 4) if rng.random() < 0.2 else 0.0)
    for _ in range(int(rng.poisson(path.length / rng.uniform(9, 40)))):
        at, long = rng.uniform(0, path.length), rng.uniform(1.5, 10)
        offset = half + (0.9 if rng.random() < 0.5 and deep > 2.6 else deep - 0.7)
        if deep > 1.7:
            stage.park_two_wheelers(path, side * offset, at, at + long)
    for at in np.arange(rng.uniform(0, 9), path.length, rng.uniform(8, 30)).tolist():
        x, y, yaw = _left_of(path, at, side * (half + 0.45))
        if rng.random() < 0.35 and deep > 2:
            stage.tree(x, y)
        elif rng.random() < 0.6:
            stage.pole(x, y, yaw)
        else:
            stage.place(scenery.draw_clutter(rng), x, y, yaw)


def _beside(stage: Stage, path: Path, s: float, left: float, side: int, made: Body,
            length: float) -> None:  # fmt: skip
    # A building's front faces its -y: on the right side it is turned towards the road.
    x, y, yaw = _left_of(path, s + length / 2, side * left)
    stage.place(made, x, y, yaw if side > 0 else yaw + np.pi)


def _left_of(path: Path, s: float, left: float) -> tuple[float, float, float]:
    x, y, yaw = path.at(s)
    return x - left * np.sin(yaw), y + left * np.cos(yaw), yaw


def populate(stage: Stage, path: Path, half: float, wide: list[float], around: float,
             travel: float, groups: int) -> None:  # fmt: skip
    """People on the pavements left and right, most of them within sight of the ego.

    Args:
        half: distance of the kerbs. wide: widths of the left and the right pavement.
        around, travel: arc length where the ego starts, and how far it goes (m).
    """
    rng, obstacles = stage.rng, Obstacles(stage.placed)
    for _ in range(groups):
        k = int(rng.integers(2))
        side, deep = 1 - 2 * k, wide[k]
        here = around + travel * rng.random() + rng.normal(8, 0.5 * _SEEN)
        count = int(rng.choice([1, int(rng.integers(2, 5)), int(rng.integers(4, 9))],
                               p=[0.45, 0.3, 0.25]))  # fmt: skip
        pace = draw_pace(rng) if stage.movers else 0.0
        if rng.random() < 0.14 and pace > 0:
            way = _across(stage, path, half, side, deep, here)
            walkers(stage, way, rng.uniform(0, 4), obstacles, pace, count)
            continue
        for offset in _offsets(rng, deep):  # the first place that is free
            way, start = _along(stage, path, half + offset, side, here)
            if walkers(stage, way, start, obstacles, pace, count):
                break


def _offsets(rng: np.random.Generator, deep: float) -> list[float]:
    """Distances from the kerb to try: from the front on, from the parked cars on, or anywhere."""
    where = rng.random()
    if where < 0.5:
        return (deep - 0.1 - 0.15 * np.arange(6)).tolist()
    if where < 0.75:
        return (0.1 + 0.15 * np.arange(6)).tolist()
    return rng.uniform(0.3, max(deep - 0.35, 0.4), 4).tolist()


def _along(stage: Stage, path: Path, left: float, side: int, here: float) -> tuple[Path, float]:
    way = path.shifted(side * left)
    if stage.rng.random() < 0.5:
        way = way.reversed()
        return way, way.length - here
    return way, here


def _across(stage: Stage, path: Path, half: float, side: int, deep: float, here: float) -> Path:
    """From one front to the other, out of a door and between the parked cars."""
    rng, reach = stage.rng, half + deep - 0.4
    turn = rng.normal(0, 0.15)
    ends = [_left_of(path, here - d * np.tan(turn), side * d)[:2] for d in (reach, -reach)]
    t = np.linspace(0, 1, 24)[:, None]
    return through((1 - t) * np.array(ends[0]) + t * np.array(ends[1]))
