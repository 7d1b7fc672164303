"""Traffic that creeps and stops, with riders between the cars and people who cross."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim import people
from kdmos_ros.sim.participants import lane
from kdmos_ros.sim.paths import Path, trace
from kdmos_ros.sim.scene_pavement import BACK, draw_width, line_up, populate
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.traffic import desired_speed, draw_style, follow, integrate
from kdmos_ros.sim.world import Plan

Array = npt.NDArray[Any]


def queue(stage: Stage) -> Plan:
    """Plan a street full of slow traffic."""
    rng = stage.rng
    speed = _creep(stage)
    travel = stage.travel(speed)
    lanes = int(rng.choice([1, 2], p=[0.6, 0.4]))
    width, bay = rng.uniform(2.9, 3.6), rng.choice([0.0, 2.1])
    half = lanes * width + bay
    legs = [(float(rng.uniform(30, 80)), float(rng.choice([0.0, rng.normal(0, 0.006)])))
            for _ in range(4)]  # fmt: skip
    path = trace((0.0, 0.0, 0.0), [(BACK, 0.0), *legs, (travel, 0.0)])
    wide = [draw_width(rng) for _ in range(2)]
    for side, deep in zip((1, -1), wide, strict=True):
        if bay:
            stage.park_along(path, side * (half - 0.95), rng.uniform(0.2, 1.0))
        line_up(stage, path, half, side, deep)
    stage.scatter(path, half + 14, 70, int(rng.integers(5, 30)))
    ego = lane(stage, path.shifted(-0.5 * width), rng.uniform(1.0, 5.0), rng.uniform(0.4, 3.0),
               BACK, ego=speed, reach=75.0)  # fmt: skip
    assert ego is not None
    if lanes == 2:
        lane(stage, path.shifted(-1.5 * width), rng.uniform(1.0, 8.0), rng.uniform(0.4, 3.5), BACK,
             reach=75.0)  # fmt: skip
    oncoming = path.reversed()
    free = rng.random() < 0.4
    for k in range(lanes):
        gap, cruise = (rng.uniform(12, 50), rng.uniform(4, 11)) if free else (
            rng.uniform(1.0, 6.0), rng.uniform(0.4, 3.0))  # fmt: skip
        lane(stage, oncoming.shifted(-(k + 0.5) * width), gap, cruise,
             path.length - BACK - rng.uniform(-20, 30), reach=75.0)  # fmt: skip
    for _ in range(int(rng.poisson(5)) if stage.movers else 0):
        _rider(stage, path, width, lanes, half - bay)
    populate(stage, path, half, wide, BACK, travel, int(rng.poisson(6)))
    stage.clear(ego, [(path.xy, half)])
    ground = ground_around(rng, [path], [(path.xy, half)])
    return Plan(ground, ego, stage.placed, stage.actors, doubts=True)


def _creep(stage: Stage) -> Array:
    """Desired speed (K,) of an ego that stands in the queue or goes along with it."""
    rng = stage.rng
    if stage.ego_mode == "standing":
        return np.zeros(len(stage.times))
    style = str(rng.choice(["steady", "stop_and_go", "varying", "starting", "stopping"]))
    return desired_speed(rng, stage.times, rng.uniform(0.4, 4.0), style)


def _rider(stage: Stage, path: Path, width: float, lanes: int, kerb: float) -> None:
    """A rider along a lane's edge, most of them 20 to 50 m away at some time."""
    rng = stage.rng
    edges = [0.0, *(s * k * width for k in range(1, lanes) for s in (-1, 1)), 0.6 - kerb]
    left = float(rng.choice(edges)) + rng.normal(0, 0.12)
    motor = rng.random() < 0.5
    rider = (people.draw_motorcycle if motor else people.draw_cyclist)(rng)
    horizon = float(stage.times[-1])
    wanted = rng.uniform(2.0, 8.0) if motor else rng.uniform(1.5, 6.0)
    style = "steady" if rng.random() < 0.6 else draw_style(rng)
    want = desired_speed(rng, stage.times, wanted, style)
    way, at = path.shifted(left), BACK + rng.choice([-1, 1]) * rng.uniform(3, 50)
    if rng.random() < 0.5 and left >= 0:
        way, at = path.reversed().shifted(-left), path.length - at
    start = at - wanted * horizon * rng.random()
    stage.act(rider, follow(way, *integrate(want, start), stride=4.5))
