"""A crossing of two roads: queues at stop lines, traffic straight on and turning."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim.participants import FLOWING_M, lane
from kdmos_ros.sim.paths import Path, through, trace
from kdmos_ros.sim.roadside import dress, people_along
from kdmos_ros.sim.staging import Stage
from kdmos_ros.sim.terrain import ground_around
from kdmos_ros.sim.traffic import Track
from kdmos_ros.sim.world import Plan

Array = npt.NDArray[Any]
_VIEW = 95.0  # least length of an arm (m)


def _unit(angle: float) -> Array:
    return np.array([np.cos(angle), np.sin(angle)])


class _Junction:
    """Where lanes enter and leave. Arms are numbered counter-clockwise; 0 and 2 are one road."""

    def __init__(self, angles: list[float], half: list[float], width: float,
                 arm: float) -> None:  # fmt: skip
        self.angles, self.half, self.width, self.arm = angles, half, width, arm

    def setback(self, arm: int) -> float:
        """Distance of the stop line from the middle."""
        return self.half[(arm + 1) % 2] + 4.0

    def route(self, arm: int, out: int, lane_index: int = 0) -> Path:
        """Path in along an arm and out along another; the stop line is at arc length `arm`."""
        near, far = self.angles[arm], self.angles[out]
        side = (lane_index + 0.5) * self.width
        enter = self.setback(arm) * _unit(near) + side * _unit(near + np.pi / 2)
        leave = self.setback(out) * _unit(far) - side * _unit(far + np.pi / 2)
        inward, outward = -_unit(near), _unit(far)
        reach = float(np.linalg.norm(leave - enter))
        t = np.linspace(0, 1, 16)[1:-1, None]
        # Cubic Bezier curve, tangent to both lanes.
        p1, p2 = enter + 0.45 * reach * inward, leave - 0.45 * reach * outward
        curve = ((1 - t) ** 3 * enter + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2
                 + t**3 * leave)  # fmt: skip
        steps = np.append(np.arange(0, self.arm, 2.0), self.arm)[:, None]
        return through(np.concatenate([enter - steps[::-1] * inward, curve,
                                       leave + steps * outward]))  # fmt: skip


def crossing(stage: Stage) -> Plan:
    """Plan a crossing. The ego comes along arm 0; lights let one road go at a time."""
    rng, mode = stage.rng, stage.ego_mode
    speed = stage.ego_speed(8.0) if mode == "turning" else stage.ego_speed(16.0, 5.0)
    travel = stage.travel(speed)
    length = _VIEW + min(0.6 * travel, 120.0)
    lean = rng.normal(0, 0.15)
    angles = [np.pi, -np.pi / 2 + lean, 0.0, np.pi / 2 + lean]
    width = rng.uniform(2.8, 3.7)
    lanes = [int(rng.choice([1, 2], p=[0.75, 0.25])) for _ in range(2)]
    bays = [float(rng.choice([0.0, 2.2])) for _ in range(2)]
    half = [n * width + b for n, b in zip(lanes, bays, strict=True)]
    junction = _Junction(angles, half, width, length)
    arms = [trace((*(half[(k + 1) % 2] * _unit(a)), a), [(length, 0.0)])
            for k, a in enumerate(angles)]  # fmt: skip
    for k, arm in enumerate(arms):
        for side in (1, -1):
            dress(stage, arm, half[k % 2], side, rng.uniform(2, 8), length)
            if bays[k % 2]:
                kerb = trace((*arm.at(9.0),), [(length - 20, 0.0)])
                stage.park_along(kerb, side * (half[k % 2] - 0.95), rng.uniform(0.2, 0.95))
    stage.scatter(arms[0], half[0] + 15, 78, int(rng.integers(5, 40)))
    stage.scatter(arms[2], half[0] + 15, 78, int(rng.integers(5, 40)))

    mine_goes = _lights(stage)
    out = int(rng.choice([1, 3])) if mode == "turning" else 2
    before = {"standing": rng.uniform(3, 25), "creeping": rng.uniform(3, 40)}.get(
        mode, travel * rng.uniform(0.05, 0.8)
    )
    start = length - max(4.0, min(before, length - 40))
    gap = np.inf if rng.random() < 0.1 else float(np.exp(rng.uniform(np.log(5), np.log(150))))
    cruise = float(rng.uniform(4.0, 14.0))
    if mode == "driving":  # with the flow
        gap, cruise = max(gap, FLOWING_M), max(cruise, float(speed.max()) * rng.uniform(0.8, 1.1))
    through_traffic = mode != "turning"
    ego: Track | None = lane(stage, junction.route(0, out), gap, cruise if through_traffic else 5.0,
                             start, ego=speed, red=~mine_goes, stop_line=length)  # fmt: skip
    assert ego is not None
    for k in range(4):
        red = ~mine_goes if k % 2 == 0 else mine_goes
        for index in range(lanes[k % 2]):
            if k == 0 and index == 0:
                continue
            lane(stage, junction.route(k, (k + 2) % 4, index), gap * rng.uniform(0.5, 2),
                 cruise * rng.uniform(0.7, 1.2), length - rng.uniform(0, 20), red=red,
                 stop_line=length)  # fmt: skip
        if rng.random() < 0.7:
            turn = (k + int(rng.choice([1, 3]))) % 4
            lane(stage, junction.route(k, turn), gap * rng.uniform(1, 4), rng.uniform(3, 7),
                 length - rng.uniform(0, 15), red=red, stop_line=length)  # fmt: skip
    for k in (0, 1, 2, 3):
        people_along(stage, arms[k], half[k % 2], rng.uniform(0, 20), int(rng.poisson(1.8)))
    roads = [(np.concatenate([arms[k].xy[::-1], arms[k + 2].xy]), half[k]) for k in (0, 1)]
    roads = [(through(_dense(line)).xy, h) for line, h in roads]
    stage.clear(ego, roads)
    ground = ground_around(rng, arms, roads)
    return Plan(ground, ego, stage.placed, stage.actors)


def _dense(line: Array) -> Array:
    s = through(line).s
    at = np.arange(0, s[-1], 1.0)
    return np.stack([np.interp(at, s, line[:, 0]), np.interp(at, s, line[:, 1])], axis=-1)


def _lights(stage: Stage) -> npt.NDArray[np.bool_]:
    """When (K,) the ego's road may go."""
    rng, times = stage.rng, stage.times
    if stage.ego_mode in ("driving", "turning"):
        return np.ones(len(times), dtype=bool)
    switch = rng.uniform(0, 1.3) * times[-1]
    first = bool(rng.random() < 0.3)
    return np.where(times < switch, first, not first)
