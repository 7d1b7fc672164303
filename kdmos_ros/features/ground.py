"""Height of the local ground, per sector and ring, from one scan.

Ground is followed from the sensor outwards: in each ring the lowest plausible return is taken if
the slope to the last accepted ring allows it; where an object hides the ground, the last height is
carried on. A LiDAR that looks down by a few degrees only meets the ground far away: what it sees
nearer is no ground. Cheap, causal and the same in training and on the robot, so that the network
learns its mistakes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.geometry.angles import PI

N_SECTORS = 72
N_RINGS = 34
RING_M = 1.5
# The lowest few returns are kept, because reflections put single points metres below the road.
N_LOWEST = 3
MAX_START_OFFSET_M = 1.0
SLOPE = 0.12
STEP_M = 0.12

# How low the beams look is seen in so many sectors to either side, beyond the own vehicle. It
# counts where they look down by less than 13 degrees; spinning LiDARs do by 15 and more.
_SECTORS_AROUND, _STEEP = 4, -math.tan(math.radians(13.0))
# Where the ground near the sensor is looked for: rings in which beams look so low, the quantile of
# their lowest returns, and how many of these are needed. Few beams look down far away: walls and
# objects are often all they meet.
_FEW = N_SECTORS // 4
_STARTS = (
    (slice(1, 8), -np.inf, 0.5, 1),
    (slice(1, 8), -0.7, 0.5, _FEW),
    (slice(1, 16), -0.7, 0.5, _FEW),
    (slice(1, 16), -0.3, 0.25, _FEW),
    (slice(1, 16), 0.0, 0.25, _FEW),
)
_NEAREST = np.float32(1.0)

_SECTORS_PER_RADIAN = np.float32(N_SECTORS / (2 * math.pi))
_RING, _HALF, _ZERO = np.float32(RING_M), np.float32(0.5), np.float32(0)


def ground_map(
    z: npt.NDArray[np.float32],
    rho: npt.NDArray[np.float32],
    phi: npt.NDArray[np.float32],
    sensor_z: float,
) -> npt.NDArray[np.float32]:
    """Ground height (N_SECTORS, N_RINGS) float32 in the level frame, metres.

    Args:
        z, rho, phi: (N,) float32 level-frame height and polar coordinates; NaN rows are skipped.
        sensor_z: height of the sensor in the level frame.
    """
    lowest, slope = _lowest_returns(z, rho, phi, np.float32(sensor_z))
    reached = _reached(slope, sensor_z)
    followed = _follow(lowest, reached, _start_height(lowest[..., 0], reached))
    # The median over three sectors removes single sectors that climbed onto an object.
    before, after = np.roll(followed, 1, 0), np.roll(followed, -1, 0)
    low, high = np.minimum(before, after), np.maximum(before, after)
    return np.maximum(low, np.minimum(high, followed))


def _reached(slope: npt.NDArray[np.float32], sensor_z: float) -> npt.NDArray[np.float32]:
    """How low the beams look (N_SECTORS, N_RINGS), metres; -inf where they look down near by.

    Args:
        slope: (N_SECTORS,) of the steepest beam that returned.
    """
    # The beams of one sector may all have ended on something.
    around = [np.roll(slope, k) for k in range(-_SECTORS_AROUND, _SECTORS_AROUND + 1)]
    steepest = np.min(around, axis=0)
    middles = RING_M * (np.arange(N_RINGS, dtype=np.float32) + _HALF)
    reached: npt.NDArray[np.float32] = np.float32(sensor_z) + steepest[:, None] * middles
    if float(np.median(steepest)) <= _STEEP:
        reached[:] = -np.inf
    return reached


def _start_height(lowest: npt.NDArray[np.float32], reached: npt.NDArray[np.float32]) -> float:
    """Ground height near the sensor: the base's z = 0 is not on the road on every robot.

    Args:
        lowest: (N_SECTORS, N_RINGS) return of each cell. reached: of `_reached`.
    """
    for rings, depth, share, fewest in _STARTS:
        near = lowest[:, rings]
        near = near[(np.abs(near) < MAX_START_OFFSET_M) & (reached[:, rings] <= depth)]
        if near.size >= fewest:
            return float(np.quantile(near, share))
    return 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _lowest_returns(z, rho, phi, sensor_z):  # type: ignore[no-untyped-def]
    """The lowest returns (N_SECTORS, N_RINGS, N_LOWEST) and the steepest slope (N_SECTORS,)."""
    slope = np.full(N_SECTORS, np.inf, np.float32)
    lowest = np.full((N_SECTORS * N_RINGS, N_LOWEST), np.inf, np.float32)
    end = np.float32(N_RINGS * RING_M)
    place = np.empty(len(z), np.int32)
    for i in range(len(z)):
        sector = np.int32((phi[i] + PI) * _SECTORS_PER_RADIAN)
        sector = sector - N_SECTORS if sector >= N_SECTORS else sector
        ring = np.int32(rho[i] / _RING)
        place[i] = sector * N_RINGS + ring if rho[i] < end else -1
        falls = (z[i] - sensor_z) / rho[i]
        if rho[i] >= _NEAREST and falls < slope[sector]:
            slope[sector] = falls
    for i in range(len(z)):
        value = z[i]
        if place[i] < 0 or not value < lowest[place[i], N_LOWEST - 1]:
            continue
        cell = lowest[place[i]]
        for k in range(N_LOWEST):
            if value < cell[k]:
                value, cell[k] = cell[k], value
    return lowest.reshape(N_SECTORS, N_RINGS, N_LOWEST), slope


@njit(cache=True, nogil=True)
def _follow(lowest, reached, start):  # type: ignore[no-untyped-def]
    ground = np.empty((N_SECTORS, N_RINGS), np.float32)
    for sector in range(N_SECTORS):
        last = start
        gap = 1.0
        for ring in range(N_RINGS):
            tolerance = STEP_M + SLOPE * RING_M * gap
            gap += 1.0
            seen = reached[sector, ring] <= last + STEP_M
            for k in range(N_LOWEST if seen else 0):
                candidate = lowest[sector, ring, k]
                if abs(candidate - last) <= tolerance:
                    last = candidate
                    gap = 1.0
                    break
            ground[sector, ring] = last
    return ground


@njit(cache=True, nogil=True, error_model="numpy")
def height_above(ground, z, rho, phi):  # type: ignore[no-untyped-def]
    """Height (N,) float32 of points above a ground map, bilinear between sectors and rings.

    Args:
        ground: (N_SECTORS, N_RINGS) float32 of `ground_map`.
        z, rho, phi: (N,) float32 level frame. NaN stays NaN; beyond the last ring it is carried on.
    """
    height = np.empty(len(z), np.float32)
    flat = ground.reshape(-1)
    last, last_but_one = np.float32(N_RINGS - 1), np.float32(N_RINGS - 2)
    for i in range(len(z)):
        # From -0.5 on: one sector is added, so that cutting off the fraction rounds down.
        u = (phi[i] + PI) * _SECTORS_PER_RADIAN + _HALF
        v = rho[i] / _RING - _HALF
        v = v if v < last else last  # NaN becomes a number here, for it needs a place
        v = v if v > _ZERO else _ZERO
        u = u if rho[i] >= _ZERO else _ZERO
        u1, v0 = np.int32(u), np.int32(v if v < last_but_one else last_but_one)
        du, dv = u - np.float32(u1), v - np.float32(v0)
        a = (u1 - 1 if u1 > 0 else N_SECTORS - 1) * N_RINGS + v0
        b = (u1 if u1 < N_SECTORS else u1 - N_SECTORS) * N_RINGS + v0
        near = flat[a] + du * (flat[b] - flat[a])
        far = flat[a + 1] + du * (flat[b + 1] - flat[a + 1])
        height[i] = z[i] - (near + dv * (far - near))
    return height


def height_above_ground(
    z: npt.NDArray[np.float32],
    rho: npt.NDArray[np.float32],
    phi: npt.NDArray[np.float32],
    sensor_z: float,
) -> npt.NDArray[np.float32]:
    """Height (N,) float32 above the local ground, metres, from one scan's level-frame points."""
    result: Any = height_above(ground_map(z, rho, phi, sensor_z), z, rho, phi)
    return result
