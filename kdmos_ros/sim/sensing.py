"""From ray hits to what a sensor reports: drop-outs, range noise, edge pixels, intensity."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmos_ros.sim.raycast import uniform

_F = np.float32
# Scale of the detection range (m) of a sensor of sensitivity 1. With it, asphalt seen from 1.7 m
# above is lost at about 35 m, as with a real HDL-64E.
_REACH = 675.0


_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(inline="always", cache=True, nogil=True)
def _draw(state):  # type: ignore[no-untyped-def]
    """The next state and number in (0, 1) of a linear congruential generator (Knuth, MMIX)."""
    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return state, _F(np.int64(state >> np.uint64(41)) + 0.5) * _F(1.0 / 8388608.0)


@njit(cache=True, nogil=True, fastmath=True)
def measure(  # type: ignore[no-untyped-def]
    directions, best, hit, cosine, reflectivity, ground_reflectivity, stride, seed,
    min_range, max_range, noise, bias, reach, loss, edge_chance, gain,
    points, intensity, solid, other, ray,
):  # fmt: skip
    """Write the returns of one sweep and say how many there are.

    Args:
        best, hit, cosine: (N,) from the ray caster; reflectivity: (M,) of each solid.
        ground_reflectivity: (3,) of road, pavement and terrain.
        bias: (beams,) metres, constant range error of each beam.
        reach: range at which a perfect surface is lost; loss: share of returns lost anyway.
        edge_chance: how often a ray at a depth edge reports a range between both surfaces.
        gain: scale of the intensities.
        points (N, 3), intensity (N,), solid (N,), other (N,), ray (N,): outputs. `other` is the
            second surface of a mixed return, else the same as `solid`.
    """
    count, rays = 0, len(best)
    for n in range(rays):
        r, s = best[n], hit[n]
        if s == -1 or r < min_range or r > max_range:
            continue
        rho = reflectivity[s] if s >= 0 else ground_reflectivity[-2 - s]
        cos = cosine[n]
        # Returned power falls with the square of the range; detection is soft around a threshold.
        power = rho * cos * (reach / r) ** 2 * _F(0.25)
        power *= power
        state = np.uint64(uniform(seed, n, 11) * _F(8388608.0)) + np.uint64(n) * _MIX
        state, chance = _draw(state)
        if chance * (_F(1) + power) > power * (_F(1) - loss):
            continue
        second = s
        if stride > 0:
            state, chance = _draw(state)
            m = n + stride if chance < 0.5 else n - stride
            if 0 <= m < rays and hit[m] != -1 and hit[m] != s:
                gap = best[m] - r
                state, chance = _draw(state)
                if 0.15 < gap < 4.0 and chance < edge_chance:
                    r += gap * chance / edge_chance
                    second = hit[m]
        state, u = _draw(state)
        state, v = _draw(state)
        radius, turn = _F(math.sqrt(_F(-2) * _F(math.log(u)))), _F(2 * math.pi) * v
        gauss = radius * _F(math.cos(turn))
        if stride > 0:
            r += bias[n % stride]
        r += noise * gauss * (_F(1) + r * _F(0.01) + _F(0.15) / (cos + _F(0.1)))
        points[count, 0] = r * directions[n, 0]
        points[count, 1] = r * directions[n, 1]
        points[count, 2] = r * directions[n, 2]
        w = radius * _F(math.sin(turn))
        # Calibrated sensors divide out most of the incidence; some returns come without a value.
        shine = gain * rho * (_F(0.75) + _F(0.25) * cos) * (_F(1) + _F(0.15) * w)
        state, chance = _draw(state)
        if chance < _F(0.03):
            shine = _F(0)
        intensity[count] = min(max(shine, _F(0)), _F(1))
        solid[count], other[count], ray[count] = s, second, n
        count += 1
    return count


def reach_of(sensitivity: float) -> float:
    """Range (m) that `measure` needs for a sensor's sensitivity."""
    return _REACH * sensitivity
