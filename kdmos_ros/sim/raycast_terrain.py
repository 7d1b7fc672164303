"""Ray casting against the ground."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from kdmos_ros.sim.hashed_draws import uniform
from kdmos_ros.sim.ray_records import FiredRays, Floats, Hits
from kdmos_ros.sim.terrain import PAVEMENT, ROUGH, sample

ON_ROAD, ON_PAVEMENT, ON_TERRAIN = -2, -3, -4
_F = np.float32


class GroundBelow(NamedTuple):
    """The ground as the sweep's first ray finds it.

    Attributes:
        grid, origin, profile: see `kdmos_ros.sim.terrain.Ground`.
        start: (3,) float32 origin of the sweep's first ray, metres, world.
        upright: whether rays of greater elevation look higher.
    """

    grid: Floats
    origin: Floats
    profile: Floats
    start: Floats
    upright: bool


@njit(cache=True, nogil=True, fastmath=True)
def cast_ground(rays: FiredRays, ground: GroundBelow, seed: int, hits: Hits) -> None:
    """Ground hits by marching along each ray, to where the ground would be if it went on level.

    `hits` is updated where the ground is nearer than what it has.

    With an upright sensor a ray is clear at least as far as the one below it in the same azimuth
    bin, so it starts there. Steps are limited, so that crests are not jumped over.
    """
    world_dir, offset, bin_start = rays.directions, rays.offsets, rays.bin_start
    grid, origin, profile, start, upright = ground
    px, py, pz = start
    best, hit, cosine = hits
    pavement, rough = profile[PAVEMENT], profile[ROUGH]
    for b in range(len(bin_start) - 1):
        clear = _F(0.5)
        for n in range(bin_start[b], bin_start[b + 1]):
            dx, dy, dz = world_dir[n, 0], world_dir[n, 1], world_dir[n, 2]
            if dz > 0.15 or clear >= best[n]:
                continue
            x0, y0, z0 = px + offset[n, 0], py + offset[n, 1], pz + offset[n, 2]
            t = clear
            h, edge = sample(grid, origin, profile, x0 + t * dx, y0 + t * dy)
            above = z0 + t * dz - h
            if above <= 0:
                t = _F(0)
                h, edge = sample(grid, origin, profile, x0, y0)
                above = z0 - h
            before, t_before = above, t
            for _ in range(80):
                step = above / max(-dz, _F(0.01))
                t += min(max(step, _F(0.02)), _F(1.0) + _F(0.2) * t)
                if t_before >= best[n]:
                    break
                h, edge = sample(grid, origin, profile, x0 + t * dx, y0 + t * dy)
                above = z0 + t * dz - h
                if above < 0.003:
                    break
                before, t_before = above, t
            if above >= 0.003:
                continue
            for k in range(12):  # false position between the last two steps, or halving
                if above >= 0:
                    break
                share = before / (before - above) if k % 3 < 2 else _F(0.5)
                middle = t_before + (t - t_before) * share
                h, edge = sample(grid, origin, profile, x0 + middle * dx, y0 + middle * dy)
                gap = z0 + middle * dz - h
                if gap < 0:
                    t, above = middle, gap
                    if gap > -0.003:
                        break
                else:
                    t_before, before = middle, gap
                    if gap < 0.003:
                        t = middle
                        break
            if upright:
                clear = _F(0.95) * t
            if t >= best[n]:
                continue
            code, cos = ON_ROAD, max(-dz, _F(0.02))
            if edge >= 0:
                code = ON_PAVEMENT
                if edge > pavement:
                    code = ON_TERRAIN
                    # Grass stops rays at random heights.
                    u = uniform(seed, n, 7)
                    t -= min(rough * -_F(math.log(u)) / cos, _F(0.04) * t)
                    cos = min(_F(2) * cos, _F(1))
            best[n], hit[n], cosine[n] = t, code, cos
