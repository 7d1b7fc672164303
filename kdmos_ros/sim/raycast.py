"""Ray casting against boxes, cylinders and ellipsoids, with occlusion.

Each solid is mapped to a unit shape by its own frame, so that a ray meets [-1, 1]^3, the unit
cylinder or the unit sphere. A solid is tested only by rays inside its azimuth and elevation
bounds. Surfaces may let a ray through (glass, fences) and bodies may be porous: a ray travels a
random, exponentially distributed depth before a leaf stops it (Beer-Lambert), drawn anew each
scan. How dense a body is differs between its lumps and gaps, which stay where they are, so that it
is open from some sides and not from others. Thin lumps return nothing beyond a range of their own.
Random numbers are hashes of (seed, ray, solid), so that results do not depend on the order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmos_ros.sim.hashed_draws import uniform
from kdmos_ros.sim.ray_records import BOX, CYLINDER, ELLIPSOID, FiredRays, Hits, MovingSolids

_F = np.float32
LUMP_M = (0.35, 1.3)  # sizes of lumps, another one in each body
_STRIDE_M = 0.3  # in which porous bodies are walked through, or half a lump if that is more
_options = {"cache": True, "nogil": True, "fastmath": True}


@njit(inline="always", **_options)
def meet(shape, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Where the line o + t d is inside a unit shape: t_in, t_out and the face (axis) it enters.

    Empty when t_in > t_out. Face 3 is a curved side.
    """
    tiny = _F(1e-12)
    dx = dx if abs(dx) > tiny else tiny
    dy = dy if abs(dy) > tiny else tiny
    dz = dz if abs(dz) > tiny else tiny
    if shape == BOX:
        ix, iy, iz = _F(1) / dx, _F(1) / dy, _F(1) / dz
        cx, cy, cz = -ox * ix, -oy * iy, -oz * iz
        ax, ay, az = abs(ix), abs(iy), abs(iz)
        t_in, face = cx - ax, 0
        if cy - ay > t_in:
            t_in, face = cy - ay, 1
        if cz - az > t_in:
            t_in, face = cz - az, 2
        return t_in, min(cx + ax, cy + ay, cz + az), face
    a = dx * dx + dy * dy
    b = ox * dx + oy * dy
    c = ox * ox + oy * oy - _F(1)
    if shape == ELLIPSOID:
        a += dz * dz
        b += oz * dz
        c += oz * oz
    root = b * b - a * c
    if root <= 0:
        return _F(1), _F(0), 3
    root = _F(math.sqrt(root))
    t_in, t_out, face = (-b - root) / a, (-b + root) / a, 3
    if shape == CYLINDER:
        iz = _F(1) / dz
        middle, reach = -oz * iz, abs(iz)
        if middle - reach > t_in:
            t_in, face = middle - reach, 2
        t_out = min(t_out, middle + reach)
    return t_in, t_out, face


@njit(inline="always", **_options)
def _returning(chance, gloss, cosine):  # type: ignore[no-untyped-def]
    """Chance that a surface returns a ray; glass does from ahead, wire mesh more from the side."""
    if gloss > 0:
        return chance * _F(cosine**gloss)
    if gloss < 0:
        return _F(1) - _F((_F(1) - chance) ** (_F(1) / max(cosine, _F(0.12))))
    return chance


@njit(inline="always", **_options)
def _depth(body, sigma, fade, start, direction, t, end, u):  # type: ignore[no-untyped-def]
    """Range at which a ray is stopped in a porous body, or end.

    Args:
        body: number of the body. sigma: mean stops a metre. fade: mean range beyond which lumps
            return nothing; 0: none.
        start, direction: of the ray in the body, x, y, z each, metres.
        t, end: ranges between which it is inside. u: a draw in (0, 1).
    """
    x, y, z = start
    vx, vy, vz = direction
    left = -_F(math.log(u)) / sigma
    sparse = min(max((sigma - _F(1)) / _F(3), _F(0.03)), _F(1))  # what is dense has no gaps
    size = uniform(body, 1, 2)
    scale = _F(1) / (_F(LUMP_M[0]) + _F(LUMP_M[1] - LUMP_M[0]) * size * size)
    stride = max(_F(_STRIDE_M), _F(0.5) / scale)
    while t < end:
        step = min(stride, end - t)
        middle = t + _F(0.5) * step
        i = math.floor((x + middle * vx) * scale) + 1024
        j = math.floor((y + middle * vy) * scale) + 1024
        k = math.floor((z + middle * vz) * scale) + 1024
        lump = uniform(body, i + 4096 * j, k)
        dense = sparse if lump < 0.55 else _F(1) if lump < 0.85 else _F(4.4)
        own = _F(97) * lump
        if fade > 0 and middle > fade * (_F(0.8) + _F(0.4) * (own - math.floor(own))):
            dense = _F(0)
        if left < dense * step:
            return t + left / dense
        left -= dense * step
        t += step
    return end


@njit(**_options)
def cast_solids(rays: FiredRays, solids: MovingSolids, seed: int, hits: Hits) -> None:
    """Find the nearest solid of each ray: `hits` is updated where one is nearer."""
    world_dir, offset, elevations, fractions, bin_start, first_azimuth = rays
    shape, center, axes, half, shift, turn, window, order, material = solids
    surface, density, gloss, fade = material
    best, hit, cosine = hits
    bins = len(bin_start) - 1
    step = 2 * math.pi / bins
    for m in order:
        w_low, w_high, near = window[m, 2], window[m, 3], window[m, 4]
        first = math.floor((window[m, 0] - window[m, 1] - first_azimuth) / step + 0.5)
        last = math.floor((window[m, 0] + window[m, 1] - first_azimuth) / step + 0.5)
        last = min(last, first + bins - 1)
        hx, hy, hz = half[m, 0], half[m, 1], half[m, 2]
        a = axes[m]
        p_surface, sigma, spin = surface[m], density[m], turn[m]
        for raw in range(first, last + 1):
            bin_index = raw % bins
            begin, end = bin_start[bin_index], bin_start[bin_index + 1]
            low, top = begin, end
            while low < top:  # the first ray of the bin that is not below the solid
                middle = (low + top) >> 1
                if elevations[middle] < w_low:
                    low = middle + 1
                else:
                    top = middle
            for n in range(low, end):
                if elevations[n] > w_high:
                    break
                if best[n] < near:
                    continue
                f = fractions[n]
                dx, dy, dz = world_dir[n, 0], world_dir[n, 1], world_dir[n, 2]
                ox = offset[n, 0] - center[m, 0] - f * shift[m, 0]
                oy = offset[n, 1] - center[m, 1] - f * shift[m, 1]
                oz = offset[n, 2] - center[m, 2] - f * shift[m, 2]
                if spin != 0:
                    s, c = _F(math.sin(f * spin)), _F(math.cos(f * spin))
                    dx, dy = c * dx + s * dy, c * dy - s * dx
                    ox, oy = c * ox + s * oy, c * oy - s * ox
                lx = a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz
                ly = a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz
                lz = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
                ux = (a[0, 0] * ox + a[0, 1] * oy + a[0, 2] * oz) / hx
                uy = (a[1, 0] * ox + a[1, 1] * oy + a[1, 2] * oz) / hy
                uz = (a[2, 0] * ox + a[2, 1] * oy + a[2, 2] * oz) / hz
                vx, vy, vz = lx / hx, ly / hy, lz / hz
                t_in, t_out, face = meet(shape[m], ux, uy, uz, vx, vy, vz)
                if t_out < t_in or t_out <= 0 or t_in >= best[n]:
                    continue
                stopped = False
                if t_in > 0 and p_surface > 0:
                    if face == 0:
                        cos = abs(lx)
                    elif face == 1:
                        cos = abs(ly)
                    elif face == 2:
                        cos = abs(lz)
                    else:
                        gx, gy = (ux + t_in * vx) / hx, (uy + t_in * vy) / hy
                        gz = (uz + t_in * vz) / hz if shape[m] == ELLIPSOID else _F(0)
                        norm = _F(math.sqrt(gx * gx + gy * gy + gz * gz)) + _F(1e-9)
                        cos = abs(gx * lx + gy * ly + gz * lz) / norm
                    stopped = p_surface >= 1
                    if not stopped and (fade[m] <= 0 or density[m] > 0 or t_in < fade[m]):
                        chance = _returning(p_surface, gloss[m], cos)
                        stopped = uniform(seed, n, 2 * m) < chance
                    if stopped:
                        best[n], hit[n], cosine[n] = t_in, m, cos
                if not stopped and sigma > 0:
                    u = uniform(seed, n, 2 * m + 1)
                    end = min(t_out, best[n])
                    start, direction = (ux * hx, uy * hy, uz * hz), (lx, ly, lz)
                    t = _depth(m, sigma, fade[m], start, direction, max(t_in, _F(0)), end, u)
                    if t < end and t > _F(0.3):
                        best[n], hit[n] = t, m
                        cosine[n] = _F(0.35) + _F(0.65) * uniform(seed + 1, n, m)
