"""Participants for a recorded place: who goes or stands where, clear of all that was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim import people
from kdmos_ros.sim.clearance import collide
from kdmos_ros.sim.paths import Path, through, trace
from kdmos_ros.sim.recorded_place import RecordedPlace
from kdmos_ros.sim.staging import EGO_SIZE, Stage
from kdmos_ros.sim.traffic import (
    MARGIN,
    TIME_STEP,
    Track,
    desired_speed,
    draw_style,
    follow,
    integrate,
    standing,
)
from kdmos_ros.sim.vehicles import Vehicle, draw_vehicle
from kdmos_ros.sim.walkers import draw_pace, walkers
from kdmos_ros.sim.world import Actor, Plan

Array = npt.NDArray[Any]
_TRIES = 25  # places tried for each participant


@dataclass(frozen=True)
class CastCounts:
    """How many are cast into a drive, as far as there is room.

    Attributes:
        walkers: people alone or in groups, some of whom stand.
        riders, vehicles: bicycles and motorcycles, and cars and larger ones, that go.
        parked: vehicles and two-wheelers that stand.
    """

    walkers: int = 10
    riders: int = 3
    vehicles: int = 3
    parked: int = 6

    def __post_init__(self) -> None:
        if min(self.walkers, self.riders, self.vehicles, self.parked) < 0:
            raise ValueError("cast: numbers of participants must not be negative")


def cast_plan(
    rng: np.random.Generator, place: RecordedPlace, base_poses: Array, times: Array,
    counts: CastCounts, view: float = 50.0,
) -> Plan:  # fmt: skip
    """Plan who is cast into a recorded drive.

    Args:
        base_poses: (K, 4, 4) odom_T_base of the scans, at times (K,), seconds from the first.
        view: metres from the sensor within which they are.
    """
    stage = Stage(rng, float(times[-1]), True, "driving")
    ego = _ego_track(base_poses, times, stage.times)
    cast = _Cast(stage, place, ego, view)
    for _ in range(counts.vehicles):
        cast.vehicle(draw_vehicle(rng), float(rng.uniform(0.8, 12.0)))
    for _ in range(counts.riders):
        draw = people.draw_motorcycle if rng.random() < 0.5 else people.draw_cyclist
        cast.vehicle(draw(rng), float(rng.uniform(1.2, 7.5)))
    for _ in range(counts.walkers):
        cast.people()
    for _ in range(counts.parked):
        what = rng.random()
        if what < 0.4:
            cast.parked(draw_vehicle(rng))
        else:
            draw = people.draw_motorcycle if what < 0.7 else people.draw_cyclist
            cast.parked(draw(rng, rider=False))
    return Plan(place.ground, ego, [], stage.actors, doubts=True)


def _ego_track(base_poses: Array, times: Array, clock: Array) -> Track:
    at = np.clip(clock, times[0], times[-1])
    yaw = np.unwrap(np.arctan2(base_poses[:, 1, 0], base_poses[:, 0, 0]))
    pose = np.stack([np.interp(at, times, q)
                     for q in (base_poses[:, 0, 3], base_poses[:, 1, 3], yaw)], -1)  # fmt: skip
    speed = np.hypot(*np.gradient(pose[:, :2], TIME_STEP, axis=0).T)
    zero = np.zeros(len(clock))
    return Track(pose, speed, zero, zero)


class _Cast:
    """Finds room for participants one after the other."""

    def __init__(self, stage: Stage, place: RecordedPlace, ego: Track, view: float) -> None:
        self._stage, self._place, self._ego = stage, place, ego
        self._view = view
        self._beside, self._open = (self._within(place.places(beside)) for beside in (True, False))
        self._samples = slice(round(MARGIN / TIME_STEP) // 2, None, 2)

    def _within(self, places: Array) -> Array:
        line = self._ego.pose[::10, :2]
        if not len(places):
            return places
        far = np.sqrt(((places[:, None] - line) ** 2).sum(-1).min(1))
        return places[(far < self._view) & (far > 1.5)]

    def _draw(self, places: Array) -> Array:
        """One of them; near and far are as likely, although there are more of the far ones."""
        rng = self._stage.rng
        line = self._ego.pose[::10, :2]
        far = np.sqrt(((places[:, None] - line) ** 2).sum(-1).min(1))
        weight = 1 / np.maximum(far, 3.0)
        at = places[int(rng.choice(len(places), p=weight / weight.sum()))]
        return np.asarray(at + rng.uniform(-0.25, 0.25, 2))

    def people(self) -> None:
        """One or some people who walk or stand, most of them beside something."""
        stage, rng = self._stage, self._stage.rng
        pace = draw_pace(rng, stand=0.25)
        count = 1 if rng.random() < 0.65 else int(rng.integers(2, 4))
        places = self._beside if len(self._beside) and rng.random() < 0.75 else self._open
        if not len(places):
            return
        gone = 0.5 * pace * float(stage.times[-1])
        for _ in range(_TRIES):
            (x, y), turn = self._draw(places), rng.uniform(-np.pi, np.pi)
            start = (x - gone * np.cos(turn), y - gone * np.sin(turn), turn)
            before = len(stage.actors)
            path = trace(start, [(2 * gone + 4, rng.normal(0, 0.02))])
            walkers(stage, path, 0.0, self._place, pace, count)
            new = stage.actors[before:]
            del stage.actors[before:]
            stage.actors += [a for a in new if self._free(a.track, a.size)]
            if len(stage.actors) > before:
                return

    def vehicle(self, vehicle: Vehicle, speed: float) -> None:
        """A vehicle that goes along the road, as the ego goes or comes, or across."""
        stage, rng = self._stage, self._stage.rng
        if not len(self._open):
            return
        style = "steady" if rng.random() < 0.5 else draw_style(rng)
        want = desired_speed(rng, stage.times, speed, style)
        for _ in range(_TRIES):
            spot = self._draw(self._open)
            path, here = self._way(spot)
            s, v = integrate(want, 0.0)
            s += here - s[len(s) // 2]
            if self._join(vehicle, follow(path, s, v, stride=4.5)):
                return

    def parked(self, vehicle: Vehicle) -> None:
        """A vehicle that stands, along the road or across it."""
        stage, rng = self._stage, self._stage.rng
        places = self._beside if len(self._beside) and rng.random() < 0.6 else self._open
        for _ in range(_TRIES if len(places) else 0):
            x, y = self._draw(places)
            turn = self._heading(np.array([x, y])) + rng.choice([0, 1, 2, 3]) * np.pi / 2
            pose = (float(x), float(y), float(turn + rng.normal(0, 0.1)))
            if self._join(vehicle, standing(pose, len(stage.times))):
                return

    def _heading(self, spot: Array) -> float:
        line = self._ego.pose
        nearest = int(((line[:, :2] - spot) ** 2).sum(1).argmin())
        return float(line[nearest, 2])

    def _way(self, spot: Array) -> tuple[Path, float]:
        """A path through a place, and the arc length there."""
        rng = self._stage.rng
        turn = self._heading(spot) + rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2],
                                                p=[0.42, 0.42, 0.08, 0.08])  # fmt: skip
        turn += rng.normal(0, 0.06)
        curve, half = rng.normal(0, 0.01), 80.0
        ahead = trace((*spot, turn), [(half, curve)])
        back = trace((*spot, turn + np.pi), [(half, -curve)])
        xy = np.concatenate([back.xy[:0:-1], ahead.xy])
        return through(xy), half

    def _join(self, vehicle: Vehicle, track: Track) -> bool:
        size = (vehicle.length, vehicle.width)
        if not self._free(track, size) or not self._place.clear_of(track.pose[self._samples], size):
            return False
        self._stage.actors.append(Actor(vehicle.body, track, size))
        return True

    def _free(self, track: Track, size: tuple[float, float]) -> bool:
        """Whether neither the ego nor one of the others is in the way."""
        mine = track.pose[::2]
        if collide(mine, size, self._ego.pose[::2], EGO_SIZE, room=0.3):
            return False
        others = self._stage.actors
        return not any(collide(mine, size, a.track.pose[::2], a.size, room=0.0) for a in others)
