"""Traffic and people for the scene generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim import people
from kdmos_ros.sim.paths import Path
from kdmos_ros.sim.staging import EGO_SIZE, Stage
from kdmos_ros.sim.traffic import (
    Track,
    desired_speed,
    draw_style,
    drive_lane,
    follow,
    integrate,
    standing,
)
from kdmos_ros.sim.vehicles import Vehicle, draw_vehicle
from kdmos_ros.sim.world import Actor

Array = npt.NDArray[Any]
FLOWING_M = 15.0


def lane(
    stage: Stage,
    path: Path,
    gap: float,
    cruise: float,
    around: float,
    ego: Array | None = None,
    red: Array | None = None,
    stop_line: float = np.inf,
    reach: float = 110.0,
) -> Track | None:
    """Fill a lane with traffic, most of it in view of arc length `around`.

    Args:
        gap: mean gap between vehicles in metres (exponential); inf for none. From FLOWING_M on,
            nobody holds up an ego that drives but for a leader of about its speed.
        ego: the ego's desired speed (K,) if it drives here, from arc length `around`.
        red: (K,) when vehicles have to stop at `stop_line`.

    Returns:
        the ego's track, if it drives here.
    """
    rng, times = stage.rng, stage.times
    spots: list[float] = [around] if ego is not None else []
    leader = _leader(stage, ego, around) if ego is not None else np.inf
    flowing = ego is not None and stage.ego_mode == "driving" and gap >= FLOWING_M
    if stage.movers and np.isfinite(gap):
        for way in (1, -1):
            near = 0.0 if ego is None else 50.0 if flowing and way == 1 else 9.0
            s = around + way * (rng.exponential(gap) + near)
            while abs(s - around) < reach + 0.5 * cruise * times[-1]:
                spots.append(s)
                s += way * (rng.exponential(gap) + 8.0)
    if np.isfinite(leader):
        spots = [s for s in spots if not around < s < leader + 9] + [leader]
    spots.sort(reverse=True)
    if not spots:
        return None
    vehicles: list[Vehicle | None] = []
    desired: list[Array] = []
    for s in spots:
        if ego is not None and s == around:
            vehicles.append(None)
            desired.append(ego)
            continue
        vehicles.append(_draw_driver(rng))
        if ego is not None and s == leader:
            steady = "steady" if rng.random() < 0.6 else draw_style(rng)
            wish = desired_speed(rng, times, float(ego.max()) * rng.uniform(0.85, 1.1), steady)
        else:
            style = "varying" if flowing and s > around else draw_style(rng)
            wish = desired_speed(rng, times, cruise * rng.uniform(0.7, 1.15), style)
        desired.append(wish)
    length = np.array([v.length if v else EGO_SIZE[0] for v in vehicles])
    start = np.array(spots)
    for i in range(1, len(start)):  # nobody starts inside the one ahead
        start[i] = min(start[i], start[i - 1] - 0.5 * (length[i] + length[i - 1]) - 1.5)
    shift = start[vehicles.index(None)] - around if ego is not None else 0.0
    start -= shift
    wants = np.array(desired)
    stop_at = np.where(start + length / 2 < stop_line, stop_line, np.inf)
    s, v = drive_lane(start, wants[:, 0].copy(), length, wants, stop_at,
                      np.zeros(len(times), bool) if red is None else red,
                      rng.uniform(1.0, 2.6))  # fmt: skip
    mine = None
    for i, vehicle in enumerate(vehicles):
        track = follow(path.shifted(rng.normal(0, 0.15)), s[i], v[i])
        if vehicle is None:
            mine = track
        else:
            stage.act(vehicle, track)
    return mine


def _leader(stage: Stage, ego: Array, around: float) -> float:
    """Where a vehicle goes ahead of the ego, about as fast; inf for none.

    It hides the space that it goes to, so that where it comes from is the only evidence.
    """
    rng = stage.rng
    if stage.ego_mode != "driving" or not stage.movers or rng.random() > 0.3:
        return np.inf
    return around + float(rng.uniform(max(8.0, 4.0 + 0.9 * ego[0]), 32.0))


def _draw_driver(rng: np.random.Generator) -> Vehicle:
    if rng.random() < 0.06:
        return people.draw_motorcycle(rng)
    if rng.random() < 0.12:
        large = (Kind.VAN, Kind.TRUCK, Kind.BUS)
        return draw_vehicle(rng, large[int(rng.integers(3))])
    return draw_vehicle(rng)


def cyclist(stage: Stage, path: Path, start: float) -> None:
    """A cyclist along a path; where nothing may move, one who waits."""
    rng = stage.rng
    want = desired_speed(rng, stage.times, rng.uniform(2.0, 7.5),
                         draw_style(rng) if stage.movers else "standing")  # fmt: skip
    s, v = integrate(want, start)
    stage.act(people.draw_cyclist(rng), follow(path, s, v, stride=4.5))


def group(stage: Stage, path: Path, start: float, largest: int = 5, fastest: float = 2.0) -> None:
    """People who walk (or stand) together along a path."""
    rng = stage.rng
    count = 1 if rng.random() < 0.55 else int(rng.integers(2, largest + 1))
    speed = 0.0 if not stage.movers or rng.random() < 0.2 else rng.uniform(0.7, fastest)
    if rng.random() < 0.05 and speed > 0:
        speed = rng.uniform(2.2, 3.8)  # a runner
    style = draw_style(rng) if speed > 0 else "standing"
    for _ in range(count):
        want = desired_speed(rng, stage.times, speed * rng.uniform(0.9, 1.1), style)
        at = start + rng.normal(0, 0.8 * (count > 1))
        s, v = integrate(want, at, accel=1.0)
        side = rng.normal(0, 0.7) if count > 1 else 0.0
        wave = rng.uniform(0.3, 1.2) if speed == 0 and rng.random() < 0.5 else 0.0
        way = path.shifted(side)
        person = people.draw_pedestrian(rng)
        if speed == 0:
            x, y, yaw = way.at(at)
            track = standing((x, y, yaw + rng.uniform(0, 6.3)), len(want), wave)
        else:
            track = follow(way, s, v, stride=rng.uniform(1.2, 1.6))
        stage.actors.append(Actor(person, track, (0.6, 0.6)))


def pull_out(stage: Stage, path: Path, bay: float, lane_side: float, start: float) -> None:
    """A parked vehicle that starts and moves over into the lane.

    Args:
        path: the road's centre line in the direction of travel.
        bay, lane_side: distances of the parking bay and of the lane to the right of it.
        start: where along the path it is parked.
    """
    rng = stage.rng
    along = (path.s - start - 2.0) / rng.uniform(7.0, 12.0)
    blend = np.clip(along, 0, 1) ** 2 * (3 - 2 * np.clip(along, 0, 1))
    way = path.shifted(-bay + (bay - lane_side) * blend)
    want = desired_speed(rng, stage.times, rng.uniform(3, 9), "starting")
    track = follow(way, *integrate(want, start))
    stage.make_room(track)
    stage.act(draw_vehicle(rng), track)
