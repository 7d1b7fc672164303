"""Puts two scans onto the same ground: height, pitch and roll of the motion between them.

Odometry is worst at these three, planar odometry has none of them, and they hurt most: roofs and
bonnets are seen at so flat an angle that some centimetres or tenths of a degree make a parked car
stand where free space was seen. Both scans see the same ground, so that the error shows in it: a
plane is fitted to the difference of the two grounds, cell by cell, and taken out.

Robust (Geman-McClure weights) and with a prior: where little ground is seen, poses stay as they
are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.features.point_coordinates import Mount
from kdmos_ros.geometry.angles import PI, coarse_atan2
from kdmos_ros.geometry.median import median
from kdmos_ros.geometry.transforms import Matrix, invert, make_transform, quaternion_to_matrix

Float32 = npt.NDArray[np.float32]

N_SECTORS, N_RINGS = 72, 16
NEAREST_M, RING_M = 3.0, 1.5
# Points that high or low above the local ground belong to it.
THICKNESS_M = 0.2
# Of so many points of a scan the ground is as well known as of all.
N_POINTS = 12_000
_MIN_POINTS, _MIN_CELLS = 3, 30
# Cells that differ by more are of other things; differences that scatter by more are no ground's.
_FARTHEST_M, _ROUGHEST_M = 0.5, 0.1
# A cell's height is no better known than that, and neighbours err alike.
_FLOOR_M, _CORRELATED = 0.02, 8.0
# What an odometry errs by, from one scan to another: metres, radians, radians.
_PRIOR = (0.1, math.radians(0.7), math.radians(0.7))
_MOST_M, _MOST_RAD = 0.5, math.radians(3.0)
_ROUNDS = 5

_NEAREST, _PER_RING = np.float32(NEAREST_M), np.float32(1 / RING_M)
_PER_RADIAN = np.float32(N_SECTORS / (2 * math.pi))
_RINGS = np.float32(N_RINGS)


@dataclass(frozen=True)
class Ground:
    """The ground of a scan.

    Attributes:
        points: (G, 3) float32 points on it, sensor frame, metres.
        cells: (N_SECTORS * N_RINGS, 4) float64: how many of them, and their mean, level frame.
    """

    points: Float32
    cells: npt.NDArray[np.float64]


def take_ground(points: Float32, height: Float32, mount: Mount) -> Ground:
    """The ground of a scan: points (N, 3) float32, sensor frame, at a height (N,) above it."""
    low = np.flatnonzero(np.abs(height) < np.float32(THICKNESS_M))
    taken = points[low[:: max(1, len(low) // N_POINTS)]]
    return Ground(taken, _cells(taken, *_level(np.eye(4), mount)))


def align(now_from_past: Matrix, past: Ground, now: Ground, mount: Mount) -> Matrix:
    """The motion (4, 4) between two sensor frames without its error of height, pitch and roll.

    It turns about the place on the base's plane below the sensor, as is right for an odometry whose
    x and y are those of the base. One that errs by turns about the LiDAR is left with a shift of
    the sensor's height times the angle, 1.5 cm for half a degree.

    Args:
        now_from_past: by odometry.
        past, now: the grounds of the two scans.
        mount: (3, 3) R_base_sensor and height of the sensor, as `to_level` takes them.
    """
    known, rise = _fit_plane(_cells(past.points, *_level(now_from_past, mount)), now.cells)
    if not known or abs(rise[0]) > _MOST_M or max(abs(rise[1:])) > _MOST_RAD:
        return now_from_past
    base = make_transform(mount[0].astype(np.float64), [0.0, 0.0, float(mount[1])])
    # The past ground is `rise` too high: it sinks, and turns about the level axes.
    turn = quaternion_to_matrix([-rise[2] / 2, rise[1] / 2, 0.0, 1.0])
    return invert(base) @ make_transform(turn, [0.0, 0.0, -rise[0]]) @ base @ now_from_past


def _level(now_from_past: Matrix, mount: Mount) -> tuple[Float32, Float32]:
    """Rotation (3, 3) and shift (3,) from the past sensor frame into the newest level frame."""
    rotation = mount[0].astype(np.float64)
    shift = rotation @ now_from_past[:3, 3] + [0.0, 0.0, float(mount[1])]
    return (rotation @ now_from_past[:3, :3]).astype(np.float32), shift.astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _cells(points, rotation, shift):  # type: ignore[no-untyped-def]
    """(cells, 4): count and mean x, y, z of the points (G, 3) in each cell after the motion."""
    cells = np.zeros((N_SECTORS * N_RINGS, 4), np.float64)
    for i in range(len(points)):
        x = points[i, 0] * rotation[0, 0] + points[i, 1] * rotation[0, 1]
        x += points[i, 2] * rotation[0, 2] + shift[0]
        y = points[i, 0] * rotation[1, 0] + points[i, 1] * rotation[1, 1]
        y += points[i, 2] * rotation[1, 2] + shift[1]
        z = points[i, 0] * rotation[2, 0] + points[i, 1] * rotation[2, 1]
        z += points[i, 2] * rotation[2, 2] + shift[2]
        ring = (np.float32(math.sqrt(x * x + y * y)) - _NEAREST) * _PER_RING
        if not (ring >= 0 and ring < _RINGS):
            continue
        sector = np.int32((coarse_atan2(y, x) + PI) * _PER_RADIAN) % N_SECTORS
        cell = cells[sector * N_RINGS + np.int32(ring)]
        cell[0] += 1
        cell[1] += x
        cell[2] += y
        cell[3] += z
    for c in range(len(cells)):
        if cells[c, 0] > 0:
            for i in range(1, 4):
                cells[c, i] /= cells[c, 0]
    return cells


@njit(cache=True, nogil=True, error_model="numpy")
def _fit_plane(past, now):  # type: ignore[no-untyped-def]
    """How much higher the past cells are: height at the origin, slopes along x and y.

    Also whether enough of them tell, and agree.
    """
    places, rises = np.empty((len(now), 3)), np.empty(len(now))
    n = 0
    for c in range(len(now)):
        higher = past[c, 3] - now[c, 3]
        if min(past[c, 0], now[c, 0]) >= _MIN_POINTS and abs(higher) < _FARTHEST_M:
            places[n, 0] = 1.0
            for i in range(1, 3):
                places[n, i] = 0.5 * (past[c, i] + now[c, i])
            rises[n] = higher
            n += 1
    plane = np.zeros(3)
    if n < _MIN_CELLS:
        return False, plane
    place, rise = places[:n], rises[:n]
    plane[0] = median(rise.copy())
    for _ in range(_ROUNDS):
        rest = _rest(place, rise, plane)
        scale = max(_scatter(rest), _FLOOR_M)
        left, right = np.zeros((3, 3)), np.zeros(3)
        for i in range(3):
            left[i, i] = 1 / _PRIOR[i] ** 2
        for c in range(n):
            weight = 1 / (1 + (rest[c] / (2 * scale)) ** 2) ** 2 / (scale**2 * _CORRELATED)
            for i in range(3):
                right[i] += weight * place[c, i] * rise[c]
                for j in range(3):
                    left[i, j] += weight * place[c, i] * place[c, j]
        plane = _solve(left, right)
    return _scatter(_rest(place, rise, plane)) <= _ROUGHEST_M, plane


@njit(nogil=True)
def _rest(place, rise, plane):  # type: ignore[no-untyped-def]
    rest = np.empty(len(rise))
    for c in range(len(rise)):
        rest[c] = rise[c] - plane[0] - plane[1] * place[c, 1] - plane[2] * place[c, 2]
    return rest


@njit(nogil=True)
def _scatter(rest):  # type: ignore[no-untyped-def]
    """The standard deviation, from the median of the absolute values."""
    away = np.empty(len(rest))
    for c in range(len(rest)):
        away[c] = abs(rest[c])
    return 1.4826 * median(away)


@njit(nogil=True)
def _solve(left, right):  # type: ignore[no-untyped-def]
    """x of left (3, 3) x = right (3,), by Cramer's rule: numba's own needs SciPy."""
    solution = np.empty(3)
    whole = _determinant(left)
    for i in range(3):
        replaced = left.copy()
        for j in range(3):
            replaced[j, i] = right[j]
        solution[i] = _determinant(replaced) / whole
    return solution


@njit(nogil=True)
def _determinant(m):  # type: ignore[no-untyped-def]
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )
