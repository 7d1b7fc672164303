"""The stage that scene generators fill with static things and participants."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim import people, scenery
from kdmos_ros.sim.clearance import blocks, clear_of, collide
from kdmos_ros.sim.paths import Path
from kdmos_ros.sim.solids import Body
from kdmos_ros.sim.traffic import TIME_STEP, Track, clock, desired_speed
from kdmos_ros.sim.vehicles import Vehicle, draw_vehicle
from kdmos_ros.sim.world import Actor, Placed

Array = npt.NDArray[Any]
EGO_SIZE = (4.4, 1.9)
EGO_MODES = ("standing", "creeping", "driving", "turning")


class Stage:
    """Collects a scene's parts.

    Attributes:
        rng: the scene's random generator. times: (K,) the tracks' clock.
        movers: whether anything may move besides the ego. ego_mode: one of EGO_MODES.
    """

    def __init__(
        self, rng: np.random.Generator, horizon: float, movers: bool, ego_mode: str
    ) -> None:
        self.rng, self.movers, self.ego_mode = rng, movers, ego_mode
        self.times = clock(horizon)
        self.placed: list[Placed] = []
        self.actors: list[Actor] = []
        # Objects a generator may repeat: shapes are drawn once and shared, which is much cheaper.
        self._parked_pool = [self._draw_parked() for _ in range(10)]
        self._trees = [scenery.draw_tree(rng) for _ in range(6)]
        self._trees += [scenery.draw_sapling(rng) for _ in range(3)]
        self._woods = [scenery.draw_wood(rng) for _ in range(3)]
        self._poles = [scenery.draw_pole(rng) for _ in range(5)]
        self._thickets = [scenery.draw_thicket(rng) for _ in range(4)]
        self._bushes = [scenery.draw_bush(rng) for _ in range(5)]

    def _draw_parked(self) -> Vehicle:
        if self.rng.random() < 0.04:
            return people.draw_motorcycle(self.rng, rider=False)
        if self.rng.random() < 0.85:
            return draw_vehicle(self.rng, Kind.CAR)
        return draw_vehicle(self.rng)

    def ego_speed(self, fastest: float, slowest: float | None = None) -> Array:
        """Desired speed (K,) of the ego in its mode.

        Args:
            fastest, slowest: bounds of the speed (m/s) it cruises at when driving or turning;
                without the lower one, 45 % of the upper.
        """
        rng, mode = self.rng, self.ego_mode
        if mode == "standing":
            return np.zeros(len(self.times))
        if mode == "creeping":
            return desired_speed(rng, self.times, rng.uniform(0.4, 2.5),
                                 str(rng.choice(["steady", "stop_and_go", "varying"])))  # fmt: skip
        low = 0.45 * fastest if slowest is None else slowest
        cruise = low + rng.beta(2.2, 1.2) * (fastest - low)
        style = rng.choice(
            ["steady", "varying", "starting", "stopping"], p=[0.64, 0.24, 0.06, 0.06]
        )
        return desired_speed(rng, self.times, cruise, str(style))

    # Static things -------------------------------------------------------------------------

    def place(self, body: Body, x: float, y: float, yaw: float, parked: bool = False) -> None:
        self.placed.append(Placed(body, (float(x), float(y), float(yaw)), parked))

    def park(self, x: float, y: float, yaw: float) -> None:
        """A parked vehicle, a little askew."""
        pool = self._parked_pool
        vehicle = pool[int(self.rng.integers(len(pool)))]
        self.place(vehicle.body, x, y, yaw + self.rng.normal(0, 0.03), parked=True)

    def tree(self, x: float, y: float) -> None:
        self._turned(self._trees, x, y)

    def bush(self, x: float, y: float) -> None:
        self._turned(self._bushes, x, y)

    def thicket(self, x: float, y: float, yaw: float) -> None:
        body = self._thickets[int(self.rng.integers(len(self._thickets)))]
        self.place(body, x, y, yaw + self.rng.choice([0.0, np.pi]))

    def wood(self, x: float, y: float, yaw: float) -> None:
        body = self._woods[int(self.rng.integers(len(self._woods)))]
        self.place(body, x, y, yaw + self.rng.choice([0.0, np.pi]))

    def pole(self, x: float, y: float, yaw: float) -> None:
        self.place(self._poles[int(self.rng.integers(len(self._poles)))], x, y, yaw)

    def _turned(self, pool: list[Body], x: float, y: float) -> None:
        body = pool[int(self.rng.integers(len(pool)))]
        self.place(body, x, y, self.rng.uniform(0, 2 * np.pi))

    def travel(self, speed: Array) -> float:
        """Metres that the ego goes if nothing keeps it from its desired speed (K,)."""
        return float(np.abs(speed).sum() * TIME_STEP)

    def park_along(self, path: Path, offset: float, share: float) -> None:
        """Vehicles parked along a path, `offset` metres to its left, over a share of its length."""
        s = self.rng.uniform(0, 8)
        while s < path.length:
            if self.rng.random() < share:
                x, y, yaw = path.at(s)
                side = offset + self.rng.normal(0, 0.12)
                flip = np.pi if (offset > 0) == (self.rng.random() < 0.85) else 0.0
                self.park(x - side * np.sin(yaw), y + side * np.cos(yaw), yaw + flip)
                s += self.rng.uniform(5.2, 7.0)
            else:
                s += self.rng.uniform(4.0, 14.0)

    def park_two_wheelers(
        self, path: Path, offset: float, start: float, stop: float, share: float = 0.85
    ) -> None:
        """A row of bicycles, motorcycles and scooters, side by side and askew.

        Args:
            offset: metres to the left of the path. start, stop: arc lengths of the row's ends.
            share: how many of the places are taken.
        """
        rng, s = self.rng, start
        across, motors = rng.normal(np.pi / 2, 0.35), rng.choice([0.0, 0.3, 1.0])
        while s < stop:
            if rng.random() < share:
                x, y, yaw = path.at(s)
                motor = rng.random() < motors
                draw = people.draw_motorcycle if motor else people.draw_cyclist
                left = offset + rng.normal(0, 0.08)
                turn = across + rng.normal(0, 0.12) + np.pi * (rng.random() < 0.3)
                self.place(draw(rng, rider=False).body, x - left * np.sin(yaw),
                           y + left * np.cos(yaw), yaw + turn, parked=True)  # fmt: skip
            s += rng.uniform(0.45, 0.9)

    def scatter(self, path: Path, near: float, far: float, count: int,
                houses: float = 0.13) -> None:  # fmt: skip
        """Structure on both sides of a path: trees, bushes, poles, a share of houses, hedges."""
        rng = self.rng
        for _ in range(count):
            x, y, yaw = path.at(rng.uniform(-40, path.length + 40))
            d = rng.uniform(near, far) * rng.choice([-1, 1])
            x, y = x - d * np.sin(yaw), y + d * np.cos(yaw)
            what = rng.random()
            if what < 0.4:
                self.tree(x, y)
            elif what < 0.55:
                self.bush(x, y)
            elif what < 0.63:
                self.thicket(x, y, rng.uniform(0, np.pi))
            elif what < 0.67:
                self.wood(x, y, yaw + rng.normal(0, 0.3))
            elif what < 0.75:
                self.pole(x, y, yaw)
            elif what < 0.75 + houses:
                self.place(scenery.draw_building(rng, rng.uniform(6, 20), rng.uniform(6, 14)),
                           x, y, yaw + rng.uniform(0, 2 * np.pi))  # fmt: skip
            else:
                length = rng.uniform(6, 25)
                draw = (scenery.draw_hedge, scenery.draw_fence)[int(rng.integers(2))]
                self.place(draw(rng, length), x, y, rng.uniform(0, np.pi))

    # Participants and clean-up ---------------------------------------------------------------

    def act(self, vehicle: Vehicle, track: Track) -> None:
        self.actors.append(Actor(vehicle.body, track, (vehicle.length, vehicle.width)))

    def clear(self, ego: Track, roads: list[tuple[Array, float]]) -> None:
        """Remove what stands on a road or in the ego's way, and vehicles that collide.

        Args:
            roads: centre lines (K, 2) with the half width to keep free of scenery.
        """
        keep = clear_of(self.placed, ego.pose[::4, :2], 0.5 * EGO_SIZE[1] + 0.2)
        parked = np.array([p.parked for p in self.placed], dtype=bool)
        for line, half in roads:
            keep &= parked | clear_of(self.placed, line[::2], half - 0.2)
        self.placed = [p for p, stays in zip(self.placed, keep, strict=True) if stays]
        kept: list[Actor] = []
        for actor in self.actors:
            if collide(actor.track.pose[::4], actor.size, ego.pose[::4], EGO_SIZE):
                continue
            person = actor.size[0] < 1  # people may walk arm in arm
            others = (o for o in kept if not (person and o.size[0] < 1))
            if not any(_meet(actor, other) for other in others):
                kept.append(actor)
        self.actors = kept

    def make_room(self, track: Track) -> None:
        """Remove parked vehicles that a vehicle would run over."""
        line = track.pose[::4, :2]
        hits = ~clear_of(self.placed, line, 0.9)
        self.placed = [
            p for p, hit in zip(self.placed, hits, strict=True) if not (hit and p.parked)
        ]

    def run_over(self, placed: Placed) -> bool:
        """Whether an actor runs over a body."""
        return any(blocks(placed, a.track.pose[::4, :2], 0.9) for a in self.actors if a.size[0] > 1)


def _meet(a: Actor, b: Actor) -> bool:
    return collide(a.track.pose[::4], a.size, b.track.pose[::4], b.size, room=-0.1)
