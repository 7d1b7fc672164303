"""Open places: car parks and fields."""

from __future__ import annotations

import numpy as np

from kdmos_ros.sim import scenery
from kdmos_ros.sim.participants import cyclist, group, lane
from kdmos_ros.sim.paths import Path, through, trace
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.traffic import Track, desired_speed, follow, integrate
from kdmos_ros.sim.vehicles import draw_vehicle
from kdmos_ros.sim.world import Plan

_PITCH = 16.0  # from aisle to aisle (m)
_BAY = 5.6  # from an aisle's middle to the middle of its bays (m)


def _reverse_out(stage: Stage, x: float, row: float, side: int) -> None:
    """A vehicle that backs out of a bay into the aisle at y = row."""
    rng, way = stage.rng, int(stage.rng.choice([-1, 1]))
    turn = [(14.0, 0.0), (11.0, 0.0), (8.0, 0.0), (5.5, 0.0), (3.2, 0.3), (1.2, 1.5), (0.2, 3.3)]
    corners = np.array([*turn, (0.0, _BAY)]) * (way, side) + (x, row)
    into = through(corners)
    s, v = integrate(desired_speed(rng, stage.times, rng.uniform(0.9, 2.2), "starting"), 0.0)
    s = np.minimum(s, into.length)
    stage.act(draw_vehicle(rng), follow(into, into.length - s, np.where(s < into.length, v, 0.0)))


def _wander(stage: Stage, x: float, y: float, spread: float) -> Path:
    """A slightly bent walk that passes near x, y."""
    rng = stage.rng
    heading, (dx, dy) = rng.uniform(0, 2 * np.pi), rng.normal(0, spread, 2)
    start = (x + dx - 15 * np.cos(heading), y + dy - 15 * np.sin(heading), heading)
    return trace(start, [(rng.uniform(20, 40), 0.0), (60.0, rng.normal(0, 0.03))])


def car_park(stage: Stage) -> Plan:
    """Plan a car park: aisles with bays on both sides, vehicles that crawl, back out and turn."""
    rng = stage.rng
    aisles, length = int(rng.integers(2, 5)), float(rng.uniform(45, 100))
    filled, middle = rng.uniform(0.15, 0.95), int(rng.integers(0, 4)) % aisles
    for k in range(aisles):
        for side in (-1, 1):
            y = k * _PITCH + side * _BAY
            for x in np.arange(0.0, length, rng.uniform(2.5, 2.9)).tolist():
                if rng.random() < filled:
                    flip = np.pi if rng.random() < 0.4 else 0.0
                    stage.park(x, y + rng.normal(0, 0.15), side * np.pi / 2 + flip)
            for x in np.arange(rng.uniform(0, 15), length, rng.uniform(15, 40)).tolist():
                if rng.random() < 0.5:
                    stage.tree(x, y + side * 2.7)
                else:
                    stage.pole(x, y + side * 2.7, 0.0)
    low, high = -_BAY - 6, (aisles - 1) * _PITCH + _BAY + 6
    for y, side in ((low, -1), (high, 1)):
        x = -20.0
        while x < length + 20:
            size, what = rng.uniform(8, 25), rng.random()
            if what < 0.35:
                body = scenery.draw_building(rng, size, rng.uniform(8, 20))
                stage.place(body, x, y + side * rng.uniform(2, 20), 0.0 if side > 0 else np.pi)
            elif what < 0.8:
                draw = scenery.draw_hedge if what < 0.6 else scenery.draw_fence
                stage.place(draw(rng, size), x, y, 0.0)
            x += size + rng.uniform(0, 8)
    around = trace((0.0, (low + high) / 2, 0.0), [(length, 0.0)])
    stage.scatter(around, high - low, 78, int(rng.integers(10, 50)))

    row = middle * _PITCH
    begin = rng.uniform(-5, 0.6 * length)
    if stage.ego_mode == "turning":
        ends = rng.uniform(5, 15)
        way = trace((begin, row, 0.0), [(ends, 0.0), (9.4, rng.choice([-1, 1]) / 6.0), (60, 0.0)])
        s, v = integrate(stage.ego_speed(5.0), 2.0)
        ego: Track = follow(way, s, v)
    else:
        aisle = trace((-60.0, row - 1.2, 0.0), [(length + 120, 0.0)])
        ego_or_none = lane(stage, aisle, 25.0, 3.0, begin + 60, ego=stage.ego_speed(7.0))
        assert ego_or_none is not None
        ego = ego_or_none
    for k in range(aisles):
        aisle = trace((-60.0, k * _PITCH - 1.3, 0.0), [(length + 120, 0.0)])
        gap, cruise = rng.uniform(15, 80), rng.uniform(1.5, 6.0)
        if k != middle:
            lane(stage, aisle, gap, cruise, begin + 60, reach=50)
        back = trace((length + 60, k * _PITCH + 1.3, np.pi), [(length + 120, 0.0)])
        lane(stage, back, gap, cruise, length + 60 - begin, reach=50)
        for _ in range(int(rng.poisson(0.6)) if stage.movers else 0):
            _reverse_out(stage, rng.uniform(0, length), k * _PITCH, int(rng.choice([-1, 1])))
    x0, y0 = ego.pose[len(ego.pose) // 2, :2]
    for _ in range(int(rng.poisson(5))):
        group(stage, _wander(stage, x0, y0, 15.0), rng.uniform(0, 20), largest=4)
    stage.clear(ego, [])
    stage.placed = [p for p in stage.placed if not p.parked or not stage.run_over(p)]
    ground = ground_around(rng, [around], [], paved=True)
    return Plan(ground, ego, stage.placed, stage.actors)


def field(stage: Stage) -> Plan:
    """Plan open country: rough ground, scattered growth and fences, a track, few participants."""
    rng = stage.rng
    surfaced = bool(rng.random() < 0.7)  # nobody hurries where there is no road
    if stage.ego_mode == "turning" or not surfaced:
        speed = stage.ego_speed(5.0)
    else:
        speed = stage.ego_speed(15.0, 4.0)
    bend = rng.choice([-1, 1]) / rng.uniform(8, 20) if stage.ego_mode == "turning" else 0.0
    ahead = 80.0 + float(speed.max()) * float(stage.times[-1])
    path = trace((0.0, 0.0, 0.0), [(60.0, 0.0), (rng.uniform(8, 30), bend),
                                   (ahead, rng.normal(0, 0.004))])  # fmt: skip
    half = float(rng.uniform(1.5, 3.2))
    crowded = rng.random() < 0.5
    count = int((0.5 if crowded else 0.15) * path.length * rng.uniform(0.3, 1.0))
    stage.scatter(path, half + 1.5, 78, count, houses=0.04)
    for _ in range(int(rng.integers(0, 5))):
        length = rng.uniform(30, 120)
        x, y, yaw = path.at(rng.uniform(0, path.length))
        d = rng.choice([-1, 1]) * rng.uniform(half + 2, 50)
        draw = (scenery.draw_fence, scenery.draw_hedge)[int(rng.integers(2))]
        stage.place(draw(rng, length), x - d * np.sin(yaw), y + d * np.cos(yaw),
                    yaw + rng.normal(0, 0.2))  # fmt: skip
    for _ in range(int(rng.integers(0, 25))):
        x, y, yaw = path.at(rng.uniform(0, path.length))
        d = rng.choice([-1, 1]) * (half + 2 + rng.exponential(15))
        stage.thicket(x - d * np.sin(yaw), y + d * np.cos(yaw), yaw + rng.normal(0, 0.7))
    for _ in range(int(rng.poisson(4))):
        x, y, yaw = path.at(rng.uniform(20, path.length))
        d = rng.choice([-1, 1]) * rng.uniform(half + 10, 50)
        stage.wood(x - d * np.sin(yaw), y + d * np.cos(yaw), yaw + rng.normal(0, 0.3))
    for _ in range(int(rng.poisson(5))):
        x, y, yaw = path.at(rng.uniform(20, path.length))
        d = rng.choice([-1, 1]) * rng.uniform(half + 1.5, 30)
        x, y = x - d * np.sin(yaw), y + d * np.cos(yaw)
        if rng.random() < 0.5:
            stage.place(scenery.draw_clutter(rng), x, y, rng.uniform(0, 6.3))
        else:
            stage.park(x, y, rng.uniform(0, 6.3))
    ego = lane(stage, path.shifted(-0.4), float(rng.choice([20.0, 80.0, np.inf])), 6.0, 60.0,
               ego=speed)  # fmt: skip
    assert ego is not None
    if rng.random() < 0.5:
        lane(stage, path.reversed().shifted(-2.4), 60.0, rng.uniform(2, 9),
             path.length - 60 - rng.uniform(0, 40))  # fmt: skip
    for _ in range(int(rng.poisson(1.2)) if stage.movers else 0):  # off the track
        x, y = path.at(60 + rng.normal(10, 20))[:2].tolist()
        way = _wander(stage, x, y, 20.0)
        want = desired_speed(rng, stage.times, rng.uniform(1.5, 9), "varying")
        stage.act(draw_vehicle(rng), follow(way, *integrate(want, rng.uniform(-10, 10))))
    for _ in range(int(rng.poisson(4))):
        x, y = path.at(60 + rng.normal(10, 15))[:2].tolist()
        walk = _wander(stage, x, y, 12.0)
        if rng.random() < 0.15:
            cyclist(stage, walk, rng.uniform(0, 20))
        else:
            group(stage, walk, rng.uniform(0, 20), largest=8)
    stage.clear(ego, [(path.xy, half)])
    roads = [(path.xy, half)] if surfaced else []
    ground = ground_around(rng, [path], roads, wild=True)
    return Plan(ground, ego, stage.placed, stage.actors)
