"""What the scene generators share: roadsides, parked vehicles, lanes of traffic, people."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim import people, scenery
from kdmos_ros.sim import solids as col
from kdmos_ros.sim.paths import Path
from kdmos_ros.sim.solids import Body
from kdmos_ros.sim.traffic import (
    Track,
    clock,
    desired_speed,
    draw_style,
    drive_lane,
    follow,
    integrate,
    standing,
)
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
        self._bushes = [scenery.draw_bush(rng) for _ in range(5)]

    def _draw_parked(self) -> Vehicle:
        if self.rng.random() < 0.04:
            return people.draw_motorcycle(self.rng, rider=False)
        return draw_vehicle(self.rng)

    def ego_speed(self, fastest: float) -> Array:
        """Desired speed (K,) of the ego in its mode."""
        rng, mode = self.rng, self.ego_mode
        if mode == "standing":
            return np.zeros(len(self.times))
        if mode == "creeping":
            return desired_speed(rng, self.times, rng.uniform(0.4, 2.5),
                                 str(rng.choice(["steady", "stop_and_go", "varying"])))  # fmt: skip
        cruise = rng.uniform(0.35, 1.0) * fastest
        style = rng.choice(["steady", "varying", "starting", "stopping"], p=[0.5, 0.3, 0.1, 0.1])
        return desired_speed(rng, self.times, cruise, str(style))

    # Static things -------------------------------------------------------------------------

    def place(self, body: Body, x: float, y: float, yaw: float, upright: bool = True) -> None:
        self.placed.append(Placed(body, (float(x), float(y), float(yaw)), upright))

    def park(self, x: float, y: float, yaw: float) -> None:
        """A parked vehicle, a little askew."""
        pool = self._parked_pool
        vehicle = pool[int(self.rng.integers(len(pool)))]
        self.place(vehicle.body, x, y, yaw + self.rng.normal(0, 0.03), upright=False)

    def tree(self, x: float, y: float) -> None:
        self._turned(self._trees, x, y)

    def bush(self, x: float, y: float) -> None:
        self._turned(self._bushes, x, y)

    def _turned(self, pool: list[Body], x: float, y: float) -> None:
        body = pool[int(self.rng.integers(len(pool)))]
        self.place(body, x, y, self.rng.uniform(0, 2 * np.pi))

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

    def scatter(self, path: Path, near: float, far: float, count: int) -> None:
        """Far structure on both sides of a path: trees, bushes, poles, houses, hedges."""
        rng = self.rng
        for _ in range(count):
            x, y, yaw = path.at(rng.uniform(-40, path.length + 40))
            d = rng.uniform(near, far) * rng.choice([-1, 1])
            x, y = x - d * np.sin(yaw), y + d * np.cos(yaw)
            what = rng.random()
            if what < 0.45:
                self.tree(x, y)
            elif what < 0.65:
                self.bush(x, y)
            elif what < 0.75:
                self.place(scenery.draw_pole(rng), x, y, yaw)
            elif what < 0.88:
                self.place(scenery.draw_building(rng, rng.uniform(6, 20), rng.uniform(6, 14)),
                           x, y, yaw + rng.uniform(0, 2 * np.pi))  # fmt: skip
            else:
                length = rng.uniform(6, 25)
                draw = (scenery.draw_hedge, scenery.draw_fence)[int(rng.integers(2))]
                self.place(draw(rng, length), x, y, rng.uniform(0, np.pi))

    # Participants --------------------------------------------------------------------------

    def act(self, vehicle: Vehicle, track: Track) -> None:
        self.actors.append(Actor(vehicle.body, track, (vehicle.length, vehicle.width)))

    def lane(
        self,
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
            gap: mean gap between vehicles in metres (exponential); inf for none.
            ego: the ego's desired speed (K,) if it drives here, from arc length `around`.
            red: (K,) when vehicles have to stop at `stop_line`.

        Returns:
            the ego's track, if it drives here.
        """
        rng, times = self.rng, self.times
        spots: list[float] = [around] if ego is not None else []
        if self.movers and np.isfinite(gap):
            for way in (1, -1):
                s = around + way * (rng.exponential(gap) + (9 if ego is not None else 0))
                while abs(s - around) < reach + 0.5 * cruise * times[-1]:
                    spots.append(s)
                    s += way * (rng.exponential(gap) + 8.0)
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
            vehicles.append(self._draw_driver())
            desired.append(desired_speed(rng, times, cruise * rng.uniform(0.7, 1.15),
                                         draw_style(rng)))  # fmt: skip
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
                self.act(vehicle, track)
        return mine

    def _draw_driver(self) -> Vehicle:
        if self.rng.random() < 0.06:
            return people.draw_motorcycle(self.rng)
        return draw_vehicle(self.rng)

    def cyclist(self, path: Path, start: float) -> None:
        """A cyclist along a path; where nothing may move, one who waits."""
        rng = self.rng
        want = desired_speed(rng, self.times, rng.uniform(2.0, 7.5),
                             draw_style(rng) if self.movers else "standing")  # fmt: skip
        s, v = integrate(want, start)
        self.act(people.draw_cyclist(rng), follow(path, s, v, stride=4.5))

    def group(self, path: Path, start: float, largest: int = 5, fastest: float = 2.0) -> None:
        """People who walk (or stand) together along a path."""
        rng = self.rng
        count = 1 if rng.random() < 0.55 else int(rng.integers(2, largest + 1))
        speed = 0.0 if not self.movers or rng.random() < 0.2 else rng.uniform(0.7, fastest)
        if rng.random() < 0.05 and speed > 0:
            speed = rng.uniform(2.2, 3.8)  # a runner
        style = draw_style(rng) if speed > 0 else "standing"
        for _ in range(count):
            want = desired_speed(rng, self.times, speed * rng.uniform(0.9, 1.1), style)
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
            self.actors.append(Actor(person, track, (0.6, 0.6)))

    # Clean-up ------------------------------------------------------------------------------

    def clear(self, ego: Track) -> None:
        """Remove what the ego would drive into, and vehicles that run into one another."""
        path = ego.pose[::4]
        self.placed = [p for p in self.placed if not _blocks(p, path)]
        kept: list[Actor] = []
        for actor in self.actors:
            pose = actor.track.pose[::4]
            if _collide(pose, actor.size, path, EGO_SIZE):
                continue
            person = actor.size[0] < 1
            if not any(_collide(pose, actor.size, o.track.pose[::4], o.size, -0.1)
                       for o in kept if not (person and o.size[0] < 1)):  # fmt: skip
                kept.append(actor)
        self.actors = kept


def _blocks(placed: Placed, path: Array) -> bool:
    x, y, yaw = placed.pose
    dx, dy = path[:, 0] - x, path[:, 1] - y
    if (dx * dx + dy * dy).min() > 40.0**2:
        return False
    c, s = np.cos(yaw), np.sin(yaw)
    u, v = c * dx + s * dy, c * dy - s * dx
    rows = placed.body
    reach = rows[:, 4:7].max(axis=1) if (rows[:, col.SHAPE] != 0).any() else None
    hx, hy = (rows[:, 4], rows[:, 5]) if reach is None else (reach, reach)
    low = rows[:, 3] - rows[:, 6] < 2.4
    room = 1.6
    near = (np.abs(u[:, None] - rows[low, 1]) < hx[low] + room) & (
        np.abs(v[:, None] - rows[low, 2]) < hy[low] + room
    )
    return bool(near.any())


def _collide(
    a: Array, size_a: tuple[float, float], b: Array, size_b: tuple[float, float], room: float = 0.25
) -> bool:
    """Whether two rectangles on tracks (K, 3) overlap at any time (separating axes)."""
    dx, dy, turn = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1], b[:, 2] - a[:, 2]
    reach = 0.5 * (size_a[0] + size_b[0]) + 1.5
    close = dx * dx + dy * dy < reach * reach
    if not close.any():
        return False
    dx, dy, turn, yaw_a, yaw_b = (q[close] for q in (dx, dy, turn, a[:, 2], b[:, 2]))
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    hit = np.ones(len(dx), dtype=bool)
    for yaw, (l0, w0), (l1, w1) in ((yaw_a, size_a, size_b), (yaw_b, size_b, size_a)):
        u, v = np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx
        hit &= np.abs(u) < 0.5 * (l0 + c * l1 + s * w1) + room
        hit &= np.abs(v) < 0.5 * (w0 + c * w1 + s * l1) + room
    return bool(hit.any())
