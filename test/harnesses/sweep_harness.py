"""Sweeps of a spinning LiDAR past walls and poles: exact, quick, and distorted as real ones are."""

from __future__ import annotations

import numpy as np

from kdmos_ros.geometry.transforms import invert, make_transform

PERIOD_S = 0.1


def scene(seed: int = 0) -> np.ndarray:
    """(N, 3) float64 points of a street, in the world: ground, walls of houses, poles."""
    rng = np.random.default_rng(seed)
    parts = [np.column_stack([*rng.uniform(-40, 140, (2, 6000)) * [[1], [0.5]], np.zeros(6000)])]
    for _ in range(60):
        x, y = rng.uniform(-35, 130), rng.choice([-1, 1]) * rng.uniform(5, 20)
        along = rng.uniform(0, np.pi)
        s, z = rng.uniform(-2, 2, 120), rng.uniform(0, 3, 120)
        parts.append(np.column_stack([x + np.cos(along) * s, y + np.sin(along) * s, z]))
    return np.concatenate(parts)


def course(time: float, speed: float = 10.0, swing: float = 0.0, start: float = 0.0) -> np.ndarray:
    """T_world_lidar (4, 4), 1.5 m above the ground, from a start; swinging by radians."""
    time = max(time - start, 0.0)
    yaw = swing * np.sin(3.0 * time)
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return make_transform(rotation, [speed * time, 0, 1.5])


def sweep(world, time, stamp_at=0.0, seam=np.pi, deskewed=False, **motion):
    """Points (N, 3) float32 in the order of the firings, clockwise, and seconds (N,) since stamp.

    Args:
        time: of the stamp. stamp_at: where in the sweep it is, 0 first point, 1 last.
        seam: azimuth at which the sweep begins.
    """
    at_stamp = invert(course(time, **motion))
    local = world @ at_stamp[:3, :3].T + at_stamp[:3, 3]
    near = np.hypot(local[:, 0], local[:, 1]) < 32
    world, points = world[near], local[near]
    begin = time - stamp_at * PERIOD_S
    knots = np.linspace(0, 1, 21)
    poses = [invert(course(begin + f * PERIOD_S, **motion)) for f in knots]
    for _ in range(4):  # when a point is seen depends on where it is seen
        azimuth = np.arctan2(points[:, 1], points[:, 0])
        fraction = np.mod((seam - azimuth) / (2 * np.pi), 1.0)
        index = np.minimum((fraction * 20).astype(int), 19)
        part = fraction * 20 - index
        matrices = np.stack(poses)
        both = (
            matrices[index] * (1 - part)[:, None, None] + matrices[index + 1] * part[:, None, None]
        )
        points = np.einsum("nij,nj->ni", both[:, :3, :3], world) + both[:, :3, 3]
    seconds = (begin - time) + fraction * PERIOD_S
    order = np.argsort(seconds, kind="stable")
    seen = local[near] if deskewed else points
    return seen[order].astype(np.float32), seconds[order].astype(np.float32)
