"""From ray hits to what a sensor reports: drop-outs, range noise, edge pixels, intensity."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.sim.hashed_draws import uniform
from kdmos_ros.sim.ray_records import Floats, Hits

Int32 = npt.NDArray[np.int32]
_F = np.float32
# Scale of the detection range (m) of a sensor of sensitivity 1. With it, asphalt seen from 1.7 m
# above is lost at about 35 m, as with a real HDL-64E.
_REACH = 675.0
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Receiver(NamedTuple):
    """How a sensor turns what its rays meet into returns; numbers are float32.

    Attributes:
        min_range, max_range: metres, outside of which nothing is reported.
        noise: one standard deviation of the range near by, metres.
        bias: (beams,) constant range error of each beam, metres.
        reach: range at which a perfect surface is lost, metres.
        loss: share of returns lost anyway.
        edge_chance: how often a ray at a depth edge reports a range between both surfaces.
        gain: scale of the intensities.
    """

    min_range: np.float32
    max_range: np.float32
    noise: np.float32
    bias: Floats
    reach: np.float32
    loss: np.float32
    edge_chance: np.float32
    gain: np.float32


class Reflectivity(NamedTuple):
    """Reflectivity, 0..1, float32.

    Attributes:
        solids: (M,) of each solid. ground: (3,) of road, pavement and terrain.
    """

    solids: Floats
    ground: Floats


class Measured(NamedTuple):
    """Room for the returns of N rays; `measure` fills the first rows.

    Attributes:
        points: (N, 3) float32 sensor frame, metres. intensity: (N,) float32, 0..1.
        surface: (N,) int32 met, see `Hits`.
        other: (N,) int32 the second surface of a mixed return, else the same.
        ray: (N,) int32 number of the ray.
    """

    points: Floats
    intensity: Floats
    surface: Int32
    other: Int32
    ray: Int32


@njit(inline="always", cache=True, nogil=True)
def _draw(state):  # type: ignore[no-untyped-def]
    """The next state and number in (0, 1) of a linear congruential generator (Knuth, MMIX)."""
    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return state, _F(np.int64(state >> np.uint64(41)) + 0.5) * _F(1.0 / 8388608.0)


@njit(cache=True, nogil=True, fastmath=True)
def measure(  # type: ignore[no-untyped-def]
    directions, stride, hits: Hits, reflectivity: Reflectivity, receiver: Receiver, seed,
    out: Measured,
):  # fmt: skip
    """Write the returns of one sweep into the first rows of out and say how many there are.

    Args:
        directions: (N, 3) float32 of the rays, sensor frame.
        stride: rays from one to its neighbour at the same elevation, 0 where there is none.
        seed: for the draws of this sweep.
    """
    best, hit, cosine = hits
    of_solid, of_ground = reflectivity
    min_range, max_range, noise, bias, reach, loss, edge_chance, gain = receiver
    points, intensity, surface, other, ray = out
    count, rays = 0, len(best)
    for n in range(rays):
        r, s = best[n], hit[n]
        if s == -1 or r < min_range or r > max_range:
            continue
        rho = of_solid[s] if s >= 0 else of_ground[-2 - s]
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
        surface[count], other[count], ray[count] = s, second, n
        count += 1
    return count


def reach_of(sensitivity: float) -> float:
    """Range (m) that `measure` needs for a sensor's sensitivity."""
    return _REACH * sensitivity
