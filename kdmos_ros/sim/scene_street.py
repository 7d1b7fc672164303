"""A street: parked vehicles, roadsides, traffic both ways."""

from __future__ import annotations

import numpy as np

from kdmos_ros.sim.participants import FLOWING_M, cyclist, lane, pull_out
from kdmos_ros.sim.paths import Path, trace
from kdmos_ros.sim.roadside import dress, people_along
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.traffic import Track, follow, integrate
from kdmos_ros.sim.world import Plan

_BACK = 80.0  # road behind the ego (m)


def _draw_path(stage: Stage, ahead: float) -> Path:
    rng = stage.rng
    legs: list[tuple[float, float]] = [(_BACK, 0.0)]
    if stage.ego_mode == "turning":
        radius = rng.uniform(9, 30)
        legs.append((rng.uniform(2, 12), 0.0))
        legs.append((radius * rng.uniform(0.6, 1.6), rng.choice([-1, 1]) / radius))
    while sum(length for length, _ in legs) < _BACK + ahead:
        bend = rng.choice([0.0, rng.uniform(-0.012, 0.012)])
        legs.append((float(rng.uniform(20, 70)), float(bend)))
    return trace((0.0, 0.0, 0.0), legs)


def street(stage: Stage) -> Plan:
    """Plan a street."""
    rng, turning = stage.rng, stage.ego_mode == "turning"
    speed = stage.ego_speed(7.0 if turning else 17.0, None if turning else 4.0)
    path = _draw_path(stage, 90.0 + float(speed.max()) * float(stage.times[-1]))
    narrow = bool(rng.random() < 0.33)
    lanes = 2 if rng.random() < 0.2 and not (turning or narrow) else 1
    width = rng.uniform(2.3, 2.9) if narrow else rng.uniform(2.7, 3.7)
    bay = rng.uniform(2.0, 2.3)
    share = [rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.28, 0.72]) for _ in range(2)]
    if rng.random() < 0.35:  # dense on both sides
        share = rng.uniform(0.6, 1.0, 2).tolist()
    half = lanes * width + bay * (max(share) > 0)
    for side, filled in zip((1, -1), share, strict=True):
        if filled:
            on_kerb = rng.uniform(0, 1.2) if rng.random() < 0.3 else 0.0
            stage.park_along(path, side * (half - 0.95 + on_kerb), filled)
        dress(stage, path, half, side, -30.0, path.length + 30, narrow)
    stage.scatter(path, half + 12, 78, int(rng.integers(10, 90)))

    # From bumper to bumper to an empty road; dense traffic is slow.
    gap = np.inf if rng.random() < 0.12 else float(np.exp(rng.uniform(np.log(4), np.log(150))))
    queue = bool(rng.random() < (0.06 if stage.ego_mode == "driving" else 0.3))
    if queue:
        gap = float(rng.uniform(1.5, 8.0))
    elif stage.ego_mode == "driving":
        gap = max(gap, FLOWING_M)
    cruise = float(rng.uniform(0.5, 4.0) if gap < 8 else rng.uniform(4.0, 15.0))
    if stage.ego_mode == "driving" and not queue:  # with the flow
        cruise = max(cruise, float(speed.max()) * rng.uniform(0.8, 1.1))
    travel = stage.travel(speed)
    right = path.shifted(-0.5 * width)
    ego: Track | None
    if stage.ego_mode == "standing" and rng.random() < 0.5:  # at the kerb
        lane(stage, right, gap, cruise, _BACK)
        s, v = integrate(speed, _BACK)
        ego = follow(path.shifted(0.9 - half), s, v)
    else:
        ego = lane(stage, right, gap, cruise, _BACK, ego=speed)
    assert ego is not None
    for k in range(1, lanes):
        lane(stage, path.shifted(-(k - 0.5) * width), 1.3 * gap, cruise * 1.2, _BACK)
    oncoming = path.reversed()
    flow = float(rng.uniform(2.0, 10.0)) if queue and rng.random() < 0.6 else cruise
    for k in range(lanes):
        lane(stage, oncoming.shifted(-(k + 0.5) * width),
             float((gap + 6.0 * (flow > cruise)) * rng.uniform(0.5, 2.5)),
             flow, path.length - _BACK - rng.uniform(0, 40) - 0.5 * travel)  # fmt: skip
    people_along(stage, path, half, _BACK, int(rng.poisson(5.0 + travel / 12)), travel)
    for _ in range(int(rng.poisson(1.1 + travel / 50))):
        margin = half - bay * (share[1] > 0) - 0.6
        cyclist(stage, path.shifted(-margin), _BACK + rng.normal(10, 25) + travel * rng.random())
    if stage.movers and max(share) > 0:
        for _ in range(int(rng.poisson(0.7 + travel / 80))):
            side = -1 if share[1] else 1
            at = rng.normal(10, 20) + travel * rng.random()
            pull_out(stage, path if side < 0 else oncoming, half - 0.95, 0.5 * width,
                     _BACK + at if side < 0 else path.length - _BACK - at)  # fmt: skip
    stage.clear(ego, [(path.xy, half)])
    ground = ground_around(rng, [path], [(path.xy, half)])
    return Plan(ground, ego, stage.placed, stage.actors)
