"""Scene generators: streets, crossings, car parks and open fields, each drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim import scenery
from kdmos_ros.sim.ground import Ground, make_ground
from kdmos_ros.sim.paths import Path, trace
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.traffic import Track, follow, integrate
from kdmos_ros.sim.world import Plan

Array = npt.NDArray[Any]
_AREA = 95.0  # ground beyond the paths (m)


def _ground_around(stage: Stage, paths: list[Path], roads: list[tuple[Array, float]],
                   **kind: bool) -> Ground:  # fmt: skip
    xy = np.concatenate([p.xy for p in paths])
    return make_ground(stage.rng, xy.min(0) - _AREA, xy.max(0) + _AREA, roads, **kind)


def roadside(stage: Stage, path: Path, edge: float, side: int) -> None:
    """Dress one side of a road: pavement furniture in front, houses or gardens behind.

    Args:
        edge: distance of the kerb from the path; side: 1 left, -1 right.
    """
    rng, s = stage.rng, -30.0
    while s < path.length + 30:
        style = str(rng.choice(["town", "suburb", "green", "open"], p=[0.35, 0.3, 0.25, 0.1]))
        until = s + rng.uniform(25, 90)
        front = edge + rng.uniform(1.8, 4.5)
        set_back = {"town": rng.uniform(0, 2), "suburb": rng.uniform(4, 14)}.get(style, 25.0)
        row = s
        while style in ("town", "suburb") and row < until:
            length, depth = rng.uniform(7, 22), rng.uniform(7, 14)
            body = scenery.draw_building(rng, length, depth)
            _beside(stage, path, row + length / 2, side * (front + set_back), body, side)
            gap = rng.choice([0.0, rng.uniform(1.5, 4), rng.uniform(4, 14)])
            row += length + (gap if style == "town" else gap + 4)
        row = s
        while style in ("suburb", "green") and row < until:
            length, what = rng.uniform(5, 18), rng.random()
            if what < 0.8:
                draw = (scenery.draw_hedge, scenery.draw_fence, scenery.draw_wall)[
                    int(rng.choice(3, p=[0.45, 0.35, 0.2]))
                ]
                _beside(stage, path, row + length / 2, side * front, draw(rng, length), side)
            row += length + rng.choice([0.0, rng.uniform(2, 9)])
        density = {"town": 0.05, "suburb": 0.16, "green": 0.3, "open": 0.06}[style]
        for _ in range(rng.poisson(density * (until - s))):
            x, y, yaw = path.at(rng.uniform(s, until))
            d = side * (edge + rng.choice([rng.uniform(0.6, 2.0), rng.uniform(1.0, 22.0)]))
            x, y, what = x - d * np.sin(yaw), y + d * np.cos(yaw), rng.random()
            if what < 0.5 and abs(d) > edge + 0.8:
                stage.tree(x, y)
            elif what < 0.72 and abs(d) > edge + 1.5:
                stage.bush(x, y)
            elif what < 0.9:
                stage.place(scenery.draw_pole(rng), x, y, yaw)
            else:
                stage.place(scenery.draw_clutter(rng), x, y, yaw + rng.normal(0, 0.3))
        if rng.random() < 0.7:  # a regular row of lamps or trees
            every, d = rng.uniform(9, 35), side * (edge + rng.uniform(0.5, 1.2))
            lamp, trees = scenery.draw_pole(rng), rng.random() < 0.35
            for at in np.arange(s, until, every):
                x, y, yaw = path.at(at)
                x, y = x - d * np.sin(yaw), y + d * np.cos(yaw)
                if trees:
                    stage.tree(x, y)
                else:
                    stage.place(lamp, x, y, yaw)
        s = until


def _beside(stage: Stage, path: Path, s: float, d: float, body: Array, side: int) -> None:
    x, y, yaw = path.at(s)
    # A building's front faces its -y: turn it towards the road.
    stage.place(body, x - d * np.sin(yaw), y + d * np.cos(yaw), yaw if side > 0 else yaw + np.pi)


def _people_along(stage: Stage, path: Path, edge: float, around: float, count: int) -> None:
    rng = stage.rng
    for _ in range(count):
        side = int(rng.choice([-1, 1]))
        way = path.shifted(side * (edge + rng.uniform(0.5, 3.0)))
        if rng.random() < 0.5:
            way = way.reversed()
            start = way.length - around
        else:
            start = around
        start += rng.normal(8, 30)
        if rng.random() < 0.3:  # across the road
            x, y, yaw = path.at(around + rng.normal(10, 22))
            turn = yaw + side * (np.pi / 2 + rng.normal(0, 0.2))
            d = edge + rng.uniform(0, 6)
            way = trace((x - d * np.cos(turn), y - d * np.sin(turn), turn), [(2 * d + 20, 0.0)])
            start = rng.uniform(-2, 8)
        if rng.random() < 0.2:
            stage.cyclist(way, start)
        else:
            stage.group(way, start)


def street(stage: Stage) -> Plan:
    """A road with parked vehicles, roadsides and traffic both ways."""
    rng, horizon = stage.rng, float(stage.times[-1])
    speed = stage.ego_speed(17.0 if stage.ego_mode == "driving" else 7.0)
    back = 70.0
    ahead = 90.0 + float(speed.max()) * horizon
    legs: list[tuple[float, float]] = [(back, 0.0)]
    if stage.ego_mode == "turning":
        radius = rng.uniform(9, 30)
        legs.append((rng.uniform(2, 12), 0.0))
        legs.append((radius * rng.uniform(0.6, 1.6), rng.choice([-1, 1]) / radius))
    while sum(l for l, _ in legs) < back + ahead:
        bend = rng.choice([0.0, rng.uniform(-0.012, 0.012)])
        legs.append((float(rng.uniform(20, 70)), float(bend)))
    path = trace((0.0, 0.0, 0.0), legs)
    lanes = 2 if rng.random() < 0.15 and stage.ego_mode != "turning" else 1
    lane, bay = rng.uniform(2.7, 3.6), rng.uniform(2.0, 2.3)
    share = [rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.3, 0.7]) for _ in range(2)]
    half = lanes * lane + bay * (max(share) > 0)
    for side, filled in zip((1, -1), share, strict=True):
        if filled:
            on_kerb = rng.uniform(0, 1.2) if rng.random() < 0.3 else 0.0
            stage.park_along(path, side * (half - 0.95 + on_kerb), filled)
        roadside(stage, path, half, side)
    stage.scatter(path, half + 12, 75, int(rng.integers(8, 40)))
    gap = np.inf if rng.random() < 0.12 else float(np.exp(rng.uniform(np.log(4), np.log(90))))
    cruise = float(rng.uniform(1.0, 4.0) if gap < 8 else rng.uniform(4.0, 15.0))
    pulled_over = stage.ego_mode == "standing" and rng.random() < 0.5
    right = path.shifted(-0.5 * lane)
    if pulled_over:
        s, v = integrate(speed, back)
        stage.lane(right, gap, cruise, back)
        ego: Track | None = follow(path.shifted(-half + 0.9), s, v)
    else:
        ego = stage.lane(right, gap, cruise, back, ego=speed)
    for k in range(1, lanes):
        stage.lane(path.shifted(-(k + 0.5) * lane), 1.3 * gap, cruise * 1.1, back)
    oncoming = path.reversed()
    for k in range(lanes):
        stage.lane(oncoming.shifted(-(k + 0.5) * lane), float(gap * rng.uniform(0.5, 2.5)), cruise,
                   path.length - back - rng.uniform(0, 40))  # fmt: skip
    _people_along(stage, path, half, back, int(rng.poisson(5.0)))
    for _ in range(int(rng.poisson(0.7))):
        stage.cyclist(path.shifted(-(half - bay * (share[1] > 0) - 0.6)), back + rng.normal(10, 25))
    assert ego is not None
    stage.clear(ego)
    return Plan(_ground_around(stage, [path], [(path.xy, half)]), ego, stage.placed, stage.actors)


SCENES: dict[str, Callable[[Stage], Plan]] = {"street": street}
