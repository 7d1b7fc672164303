"""Height of the local ground, per sector and ring, from one scan.

Ground is followed from the sensor outwards: in each ring the lowest plausible return is taken if
the slope to the last accepted ring allows it; where an object hides the ground, the last height is
carried on. Cheap, causal and the same in training and on the robot, so that the network learns
its mistakes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

N_SECTORS = 72
N_RINGS = 34
RING_M = 1.5
# The lowest few returns are kept, because reflections put single points metres below the road.
N_LOWEST = 3
MAX_START_OFFSET_M = 1.0
SLOPE = 0.12
STEP_M = 0.12


def ground_map(
    z: npt.NDArray[np.float32], rho: npt.NDArray[np.float32], phi: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Ground height (N_SECTORS, N_RINGS) float32 in the level frame, metres.

    Args:
        z, rho, phi: (N,) float32 level-frame height and polar coordinates; NaN rows are skipped.
    """
    lowest = _lowest_returns(z, rho, phi)
    followed = _follow(lowest, _start_height(lowest))
    # The median over three sectors removes single sectors that climbed onto an object.
    neighbours = np.stack([np.roll(followed, 1, 0), followed, np.roll(followed, -1, 0)])
    return np.median(neighbours, axis=0).astype(np.float32)


def _start_height(lowest: npt.NDArray[np.float32]) -> float:
    """Ground height near the sensor: the base's z = 0 is not on the road on every robot."""
    near = lowest[:, 1:8, 0]
    near = near[np.abs(near) < MAX_START_OFFSET_M]
    return float(np.median(near)) if near.size else 0.0


@njit(cache=True, nogil=True)
def _lowest_returns(z, rho, phi):  # type: ignore[no-untyped-def]
    lowest = np.full((N_SECTORS, N_RINGS, N_LOWEST), np.inf, np.float32)
    for i in range(len(z)):
        if not rho[i] < N_RINGS * RING_M:
            continue
        sector = int((phi[i] + math.pi) * (N_SECTORS / (2 * math.pi))) % N_SECTORS
        cell = lowest[sector, int(rho[i] / RING_M)]
        value = z[i]
        for k in range(N_LOWEST):
            if value < cell[k]:
                value, cell[k] = cell[k], value
    return lowest


@njit(cache=True, nogil=True)
def _follow(lowest, start):  # type: ignore[no-untyped-def]
    ground = np.empty((N_SECTORS, N_RINGS), np.float32)
    for sector in range(N_SECTORS):
        last = start
        gap = 1.0
        for ring in range(N_RINGS):
            tolerance = STEP_M + SLOPE * RING_M * gap
            gap += 1.0
            for k in range(N_LOWEST):
                candidate = lowest[sector, ring, k]
                if abs(candidate - last) <= tolerance:
                    last = candidate
                    gap = 1.0
                    break
            ground[sector, ring] = last
    return ground


@njit(cache=True, nogil=True)
def height_above(ground, z, rho, phi):  # type: ignore[no-untyped-def]
    """Height (N,) float32 of points above a ground map, bilinear between sectors and rings.

    Args:
        ground: (N_SECTORS, N_RINGS) float32 of `ground_map`.
        z, rho, phi: (N,) float32 level frame. NaN stays NaN; beyond the last ring it is carried on.
    """
    height = np.empty(len(z), np.float32)
    for i in range(len(z)):
        if not math.isfinite(rho[i]):
            height[i] = np.nan
            continue
        u = (phi[i] + math.pi) * (N_SECTORS / (2 * math.pi)) - 0.5
        v = min(max(rho[i] / RING_M - 0.5, 0.0), N_RINGS - 1.0)
        u0 = math.floor(u)
        v0 = min(int(v), N_RINGS - 2)
        du, dv = u - u0, v - v0
        a = ground[int(u0) % N_SECTORS]
        b = ground[int(u0 + 1) % N_SECTORS]
        near = a[v0] + du * (b[v0] - a[v0])
        far = a[v0 + 1] + du * (b[v0 + 1] - a[v0 + 1])
        height[i] = z[i] - (near + dv * (far - near))
    return height


def height_above_ground(
    z: npt.NDArray[np.float32], rho: npt.NDArray[np.float32], phi: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Height (N,) float32 above the local ground, metres, from one scan's level-frame points."""
    result: Any = height_above(ground_map(z, rho, phi), z, rho, phi)
    return result
