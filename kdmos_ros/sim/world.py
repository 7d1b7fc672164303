"""A scene at rest and in motion: where every solid is at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import is_participant
from kdmos_ros.sim import solids as col
from kdmos_ros.sim.odometry_noise import rotation
from kdmos_ros.sim.solids import Body
from kdmos_ros.sim.suspension import suspend
from kdmos_ros.sim.traffic import MARGIN, MOVING_UNTIL, TIME_STEP, Track, moving_flags

Array = npt.NDArray[Any]


class Terrain(Protocol):
    """What bodies stand on; see `kdmos_ros.sim.terrain.Ground`."""

    def height(self, x: Array, y: Array) -> Array: ...

    def tilt(self, x: Array, y: Array, yaw: Array) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class Placed:
    """A body that never moves. parked: a participant, which leans with the ground; everything
    else stands plumb."""

    body: Body
    pose: tuple[float, float, float]
    parked: bool = False


@dataclass(frozen=True)
class Actor:
    """A traffic participant with its track; size is length and width in metres."""

    body: Body
    track: Track
    size: tuple[float, float]


@dataclass
class Plan:
    """What a scene generator makes: the parts of a world.

    doubts: whether what goes at a speed between standing and moving counts as neither.
    """

    ground: Terrain
    ego: Track
    placed: list[Placed] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    doubts: bool = False


def _lean(ground: Terrain, x: Array, y: Array, yaw: Array) -> Array:
    """(..., 6) x, y, z, roll, pitch, yaw of bodies standing on the ground."""
    pitch, roll = ground.tilt(x, y, yaw)
    return np.stack([x, y, ground.height(x, y), roll, pitch, yaw], axis=-1)


class Motion:
    """Poses (A, K, 6) sampled at the tracks' clock, looked up linearly."""

    def __init__(self, poses: Array) -> None:
        self.poses = poses

    def index(self, time: float) -> tuple[int, float]:
        position = np.clip((time + MARGIN) / TIME_STEP, 0, self.poses.shape[1] - 1.001)
        return int(position), float(position - int(position))

    def at(self, time: float) -> Array:
        k, f = self.index(time)
        return (1 - f) * self.poses[:, k] + f * self.poses[:, k + 1]


@dataclass(frozen=True)
class Snapshot:
    """All solids at one time: centers (M, 3), axes (M, 3, 3) whose rows are theirs in the world,
    yaw (M,) of the bodies they belong to."""

    center: Array
    axes: Array
    yaw: Array


class World:
    """A plan made ready for ray casting. Solids of placed bodies come before those of actors.

    Attributes:
        rows: (M, COLUMNS) all solids. owner: (M,) int, actor of a solid or -1.
        instance: (M,) int32, 1.. for each traffic participant, 0 for scenery.
    """

    def __init__(self, plan: Plan, rng: np.random.Generator) -> None:
        self.ground = plan.ground
        placed, actors = plan.placed, plan.actors
        bodies = [p.body for p in placed] + [a.body for a in actors]
        self.rows = np.concatenate(bodies) if bodies else np.empty((0, col.COLUMNS))
        owner = np.repeat(np.arange(len(bodies)), [len(b) for b in bodies])
        self._static = int((owner < len(placed)).sum())
        kinds = self.rows[:, col.KIND].astype(np.uint8)
        first = np.array([int(b[0, col.KIND]) for b in bodies], dtype=int)
        numbers = np.where(first >= 20, np.cumsum(first >= 20), 0)
        self.instance = numbers[owner].astype(np.int32) if len(bodies) else np.empty(0, np.int32)
        self.kind = kinds
        self.owner = np.where(owner < len(placed), -1, owner - len(placed))
        self._local = rotation(self.rows[:, col.ANGLES])
        self._placed_snapshot = self._place(placed)
        samples = len(plan.ego.speed)
        poses = [_lean(plan.ground, *a.track.pose.T) for a in actors]
        self._motion = Motion(np.array(poses).reshape(len(actors), samples, 6))
        speeds = np.array([a.track.speed for a in actors]).reshape(len(actors), samples)
        self._moving = moving_flags(speeds)
        self._doubtful = (speeds > MOVING_UNTIL) & ~self._moving & plan.doubts
        self._walk = np.array([a.track.walk for a in actors]).reshape(len(actors), samples)
        self._gesture = np.array([a.track.gesture for a in actors]).reshape(len(actors), samples)
        self.speeds = speeds
        self._ego = Motion(suspend(_lean(plan.ground, *plan.ego.pose.T), plan.ego, rng)[None])

    def _place(self, placed: list[Placed]) -> Snapshot:
        rows, n = self.rows[: self._static], len(placed)
        pose = np.array([p.pose for p in placed]).reshape(n, 3)
        poses = _lean(self.ground, *pose.T)
        parked = np.array([p.parked for p in placed], dtype=bool)
        poses[~parked, 3:5] = 0
        who = np.repeat(np.arange(n), [len(p.body) for p in placed])
        return _compose(poses[who], rows[:, col.CENTER], self._local[: self._static])

    def snapshot(self, time: float) -> Snapshot:
        """Where every solid is at a time (s)."""
        still = self._placed_snapshot
        rows, owner = self.rows[self._static :], self.owner[self._static :]
        if not len(rows):
            return still
        k, f = self._motion.index(time)
        walk = (1 - f) * self._walk[:, k] + f * self._walk[:, k + 1]
        wave = (1 - f) * self._gesture[:, k] + f * self._gesture[:, k + 1]
        phase = rows[:, col.PHASE]
        swing = rows[:, col.SWING] * np.sin(walk[owner] + phase)
        swing = swing + rows[:, col.GESTURE] * np.sin(wave[owner] + phase)
        center = rows[:, col.CENTER].copy()
        arm = center[:, 2] - rows[:, col.PIVOT]
        center[:, 0] += arm * np.sin(swing)
        center[:, 2] += np.where(swing != 0, arm * (np.cos(swing) - 1), 0)
        angles = np.zeros((len(rows), 3))
        angles[:, 1] = swing
        bent = np.flatnonzero(rows[:, col.FLEX])
        if len(bent):
            stride = walk[owner[bent]] + phase[bent]
            angles[bent, 1] += _bend(rows[bent], stride, swing[bent], center, bent)
        local = rotation(angles) @ self._local[self._static :]
        moved = _compose(self._motion.at(time)[owner], center, local)
        return Snapshot(
            np.concatenate([still.center, moved.center]),
            np.concatenate([still.axes, moved.axes]),
            np.concatenate([still.yaw, moved.yaw]),
        )

    def moving(self, time: float) -> npt.NDArray[np.bool_]:
        """Which solids (M,) belong to a moving participant at a time (s)."""
        return self._of_owners(self._moving, time)

    def doubtful(self, time: float) -> npt.NDArray[np.bool_]:
        """Which solids (M,) belong to one of which it is not said whether it moves; see `Plan`."""
        return self._of_owners(self._doubtful, time)

    def labels(self, time: float) -> npt.NDArray[np.uint8]:
        """Class (M,) of each solid at a time (s), see `kdmos_ros.labels`."""
        labels = np.full(len(self.rows), STATIC, dtype=np.uint8)
        labels[is_participant(self.kind)] = MOVABLE
        labels[self.moving(time)] = MOVING
        labels[self.doubtful(time)] = UNLABELLED
        return labels

    def _of_owners(self, flags: Array, time: float) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(self.rows), dtype=bool)
        mine = self.owner >= 0
        found[mine] = flags[self.owner[mine], self._motion.index(time)[0]]
        return found

    def speed_of_instance(self, time: float) -> Array:
        """Speed (m/s) of each instance at a time (s), (instances + 1,); 0 for what stands."""
        speed = np.zeros(int(self.instance.max(initial=0)) + 1)
        mine = (self.owner >= 0) & (self.instance > 0)
        now = self.speeds[:, self._motion.index(time)[0]]
        speed[self.instance[mine]] = np.abs(now[self.owner[mine]])
        return speed

    def ego_pose(self, time: float) -> Array:
        """world_T_base (4, 4) at a time (s)."""
        pose = self._ego.at(time)[0]
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(pose[3:])
        matrix[:3, 3] = pose[:3]
        return matrix


def _bend(rows: Array, stride: Array, swing: Array, center: Array, bent: Array) -> Array:
    """Bend knees: moves rows `bent` of center (M, 3), returns how far (radians) each is bent."""
    forward = np.maximum(0.0, -np.sign(rows[:, col.SWING]) * np.cos(stride))
    turn = rows[:, col.FLEX] * forward
    knee_x = rows[:, 1] + (rows[:, col.HINGE] - rows[:, col.PIVOT]) * np.sin(swing)
    knee_z = rows[:, col.PIVOT] + (rows[:, col.HINGE] - rows[:, col.PIVOT]) * np.cos(swing)
    below = rows[:, 3] - rows[:, col.HINGE]
    center[bent, 0] = knee_x + below * np.sin(swing + turn)
    center[bent, 2] = knee_z + below * np.cos(swing + turn)
    return turn


def _compose(poses: Array, center: Array, local: Array) -> Snapshot:
    turn = rotation(poses[:, 3:])
    where = poses[:, :3] + np.einsum("mij,mj->mi", turn, center)
    return Snapshot(where, np.swapaxes(turn @ local, 1, 2), poses[:, 5])
