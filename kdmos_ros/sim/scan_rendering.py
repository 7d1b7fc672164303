"""One sweep of a sensor through a world, from rays to labelled returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim import sensing
from kdmos_ros.sim import solids as col
from kdmos_ros.sim.ray_records import NOTHING, FiredRays, Hits, Materials, MovingSolids
from kdmos_ros.sim.raycast import cast_solids
from kdmos_ros.sim.raycast_terrain import GroundBelow, cast_ground
from kdmos_ros.sim.sensors import Rays, Sensor
from kdmos_ros.sim.solid_bounds import windows
from kdmos_ros.sim.terrain import Ground
from kdmos_ros.sim.world import World

Array = npt.NDArray[Any]
_LOSS = np.float32(0.015)  # share of returns lost for no reason
_EDGE_CHANCE = np.float32(0.25)  # share of rays at a depth edge that mix both surfaces
_UPRIGHT = 0.9  # cosine of the tilt up to which turning is about the sensor's own axis
# What `hit` codes below zero stand for, read from the end: nothing, road, pavement, terrain.
_GROUND_KINDS = np.array([Kind.TERRAIN, Kind.PAVEMENT, Kind.ROAD, Kind.NOISE], dtype=np.uint8)


@dataclass(frozen=True)
class Returns:
    """Returns of one sweep.

    Attributes:
        points: (N, 3) float32 sensor frame; intensity: (N,) float32.
        solid: (N,) int32, index of the solid hit, or below zero a code of the ray caster.
        other: (N,) the second surface of a mixed return, else the same as solid.
        kind: (N,) uint8; instance: (N,) int32.
        fraction: (N,) float32, when in the sweep each was taken, 0..1.
    """

    points: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32]
    solid: npt.NDArray[np.int32]
    other: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.int32]
    fraction: npt.NDArray[np.float32]


class Renderer:
    """Casts sweeps into one world with one sensor."""

    def __init__(
        self, world: World, sensor: Sensor, ground_reflectivity: Array,
        gain: float = 1.0, bias: npt.NDArray[np.float32] | None = None,
        blind_below: npt.NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        """Args:
        ground_reflectivity: (3,) of road, pavement and terrain.
        gain: scale of the intensities. bias: (beams,) range error of each beam, metres.
        blind_below: (360,) radians, elevation at each degree of azimuth (from -180 on) below
            which the vehicle's own body blocks the view.
        """
        rows = world.rows
        self._world, self._sensor = world, sensor
        self._shape = rows[:, col.SHAPE].astype(np.int64)
        self._half = rows[:, col.HALF].astype(np.float32)
        self._material = Materials(
            *(
                rows[:, column].astype(np.float32)
                for column in (col.SURFACE, col.DENSITY, col.GLOSS, col.FADE)
            )
        )
        self._reflectivity = sensing.Reflectivity(
            rows[:, col.REFLECTIVITY].astype(np.float32), ground_reflectivity.astype(np.float32)
        )
        self._receiver = sensing.Receiver(
            min_range=np.float32(sensor.min_range),
            max_range=np.float32(sensor.max_range),
            noise=np.float32(sensor.range_noise),
            bias=np.zeros(max(sensor.beams, 1), np.float32) if bias is None else bias,
            reach=np.float32(sensing.reach_of(sensor.sensitivity)),
            loss=_LOSS,
            edge_chance=_EDGE_CHANCE,
            gain=np.float32(gain),
        )
        self._blind_below = blind_below
        self._kind = np.concatenate([world.kind, _GROUND_KINDS])
        self._instance = np.concatenate([world.instance, np.zeros(4, np.int32)])

    def sweep(self, rays: Rays, poses: list[Array], times: tuple[float, float], seed: int
              ) -> Returns:  # fmt: skip
        """Cast one sweep.

        Args:
            poses: world_T_sensor (4, 4) at the sweep's begin and end.
            times: begin and end in seconds, the same for a sweep without distortion.
            seed: for everything random in this sweep.
        """
        ranges = np.full(len(rays.directions), self._sensor.max_range, dtype=np.float32)
        if self._blind_below is not None:
            ranges[self._blind(rays)] = 0.0
        fired, hits = self._cast(rays, poses, times, seed, ranges)
        ground = self._world.ground
        assert isinstance(ground, Ground)
        start = poses[0][:3, 3].astype(np.float32)
        upright = bool(poses[0][2, 2] > _UPRIGHT)
        below = GroundBelow(ground.grid, ground.origin, ground.profile, start, upright)
        cast_ground(fired, below, seed, hits)
        return self._measure(rays, hits, seed)

    def sweep_over(self, rays: Rays, ranges: npt.NDArray[np.float32], pose: Array, time: float,
                   seed: int) -> tuple[Returns, npt.NDArray[np.bool_]]:  # fmt: skip
        """Cast what a recorded scan would have seen of this world, its ground left out.

        Args:
            ranges: (N,) metres, where each ray ended in the recording, or up to where it was free.
            pose: world_T_sensor (4, 4). time: seconds.

        Returns:
            the returns, and (N,) which rays end on this world before they end in the recording;
            some of them without a return.
        """
        _, hits = self._cast(rays, [pose, pose], (time, time), seed, ranges.copy())
        return self._measure(rays, hits, seed), hits.surface >= 0

    def _cast(self, rays: Rays, poses: list[Array], times: tuple[float, float], seed: int,
              ranges: npt.NDArray[np.float32]) -> tuple[FiredRays, Hits]:  # fmt: skip
        """The rays as they leave, and the solids that they meet; shortens `ranges` (N,)."""
        begin, end = poses
        count = len(rays.directions)
        origin = begin[:3, 3]
        first = self._world.snapshot(times[0])
        last = first if times[0] == times[1] else self._world.snapshot(times[1])
        turn = _wrap(last.yaw - first.yaw)
        center = first.center - origin
        # A solid that turns does so about its own middle; its middle moves along a chord.
        shift = last.center - first.center
        ego_shift = end[:3, 3] - origin
        ego_turn = _yaw(end[:3, :3] @ begin[:3, :3].T)
        # The end's attitude without its turn: what differs from the begin's is roll and pitch.
        c, s = np.cos(ego_turn), np.sin(ego_turn)
        unturned = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ end[:3, :3]
        rock = float(np.abs(unturned - begin[:3, :3]).max())
        directions, offsets = _fire(
            rays.directions, rays.fractions, begin[:3, :3].astype(np.float32),
            unturned.astype(np.float32), ego_shift.astype(np.float32), np.float32(ego_turn),
        )  # fmt: skip
        window = np.zeros((len(center), 5), dtype=np.float32)
        axes = np.ascontiguousarray(first.axes)
        spin = np.abs(turn) + abs(ego_turn) + rock
        windows(center, axes, self._half.astype(np.float64), shift - ego_shift, spin,
                np.ascontiguousarray(begin[:3, :3].T), self._sensor.max_range, window)  # fmt: skip
        if begin[2, 2] <= _UPRIGHT:
            # Turning moves things in elevation, too, and farther in azimuth where they are steep.
            steep = np.cos(np.minimum(np.abs(window[:, 2:4]).max(1) + spin, 1.5))
            window[:, 1] += spin / steep
            window[:, 2] -= spin
            window[:, 3] += spin
        window[:, 2] -= rock
        window[:, 3] += rock
        near = window[:, 4]
        order = np.argsort(near, kind="stable")
        order = order[near[order] < self._sensor.max_range]
        fired = FiredRays(
            directions, offsets, rays.elevations, rays.fractions, rays.bin_start, rays.first_azimuth
        )
        solids = MovingSolids(
            shape=self._shape,
            center=center.astype(np.float32),
            axes=axes.astype(np.float32),
            half=self._half,
            shift=shift.astype(np.float32),
            turn=turn.astype(np.float32),
            window=window,
            order=order,
            material=self._material,
        )
        nothing = np.full(count, NOTHING, dtype=np.int32)
        hits = Hits(ranges, nothing, np.zeros(count, dtype=np.float32))
        cast_solids(fired, solids, seed, hits)
        return fired, hits

    def _blind(self, rays: Rays) -> npt.NDArray[np.bool_]:
        """Which rays end on the vehicle's own body; such returns are no news and left out."""
        assert self._blind_below is not None
        bins = len(rays.bin_start) - 1
        azimuth = np.rad2deg(rays.first_azimuth + 2 * np.pi / bins * np.arange(bins))
        limit = self._blind_below[np.floor(azimuth + 180).astype(int) % 360]
        return rays.elevations < np.repeat(limit, np.diff(rays.bin_start))

    def _measure(self, rays: Rays, hits: Hits, seed: int) -> Returns:
        count = len(hits.ranges)
        points = np.empty((count, 3), dtype=np.float32)
        intensity = np.empty(count, dtype=np.float32)
        codes = np.empty((3, count), dtype=np.int32)
        n = sensing.measure(
            rays.directions, rays.stride, hits, self._reflectivity, self._receiver, seed,
            sensing.Measured(points, intensity, *codes),
        )  # fmt: skip
        solid, other, ray = codes[:, :n].copy()
        return Returns(points[:n].copy(), intensity[:n].copy(), solid, other,
                       self._kind[solid], self._instance[solid], rays.fractions[ray])  # fmt: skip


def _yaw(turn: Array) -> float:
    return float(np.arctan2(turn[1, 0], turn[0, 0]))


def _wrap(angle: npt.ArrayLike) -> Array:
    return np.asarray((np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi)


@njit(cache=True, nogil=True, fastmath=True)
def _fire(directions, fractions, first, last, shift, yaw):  # type: ignore[no-untyped-def]
    """World directions of all rays and their origins relative to the sweep's first.

    Attitude goes over from first to last (3, 3), which must be near each other, as it turns by yaw.
    """
    count = len(directions)
    world, offset = np.empty((count, 3), np.float32), np.zeros((count, 3), np.float32)
    for n in range(count):
        d, f = directions[n], fractions[n]
        g = np.float32(1) - f
        for k in range(3):
            world[n, k] = ((g * first[k, 0] + f * last[k, 0]) * d[0]
                           + (g * first[k, 1] + f * last[k, 1]) * d[1]
                           + (g * first[k, 2] + f * last[k, 2]) * d[2])  # fmt: skip
        if yaw != 0:
            c, s = np.cos(f * yaw), np.sin(f * yaw)
            x, y = world[n, 0], world[n, 1]
            world[n, 0], world[n, 1] = c * x - s * y, s * x + c * y
        for k in range(3):
            offset[n, k] = f * shift[k]
    return world, offset
