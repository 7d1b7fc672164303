"""How much of the sensor's motion within a sweep two sweeps show: none if they are deskewed.

Structure of one sweep is laid over another one, taken some metres later. What stands still was seen
from elsewhere, so at another time within the sweep, and fits only if both are deskewed rightly. The
pose between the two is corrected, so its errors do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Float32 = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

_SECTORS, _PER_SECTOR = 36, 9
_NEIGHBOURS = 6
# Of a match in the plane; heights differ by the spacing of the beams.
_FIRST_RADIUS_M, _RADIUS_M = 1.0, 0.6
_HEIGHT_WEIGHT = 0.4
# Noise of a range, and deviation (in its own units) beyond which a match counts as of a mover.
_NOISE_M, _OUTLIER = 0.04, 2.0
# Of a pose between two sweeps: metres, metres, radians.
_POSE_ERROR = np.array([0.3, 0.3, 0.03])
_ALIGNING, _FITTING = 3, 4
_FEWEST = 40
_LIMITS = (-2.0, 3.0)


@dataclass(frozen=True)
class Structure:
    """Structure points of one sweep, at most a few thousand.

    Attributes:
        points: (N, 3) float32 metres from the sensor at the stamp, axes of the fixed frame.
        motion: (N, 3) float32 metres by which deskewing moves each of them.
    """

    points: Float32
    motion: Float32


@dataclass(frozen=True)
class SweepMatch:
    """What two sweeps say.

    Attributes:
        raw_cost, moved_cost: mean deviation of the matches without and with deskewing, 0..1.
        scale: share of the motion that fits best, from the start at 1.
        information: inverse of its variance, from the matches alone.
    """

    raw_cost: float
    moved_cost: float
    scale: float
    information: float


def match_sweeps(old: Structure, new: Structure, shift: Vector) -> SweepMatch | None:
    """Lay one sweep over another; None: too little of it matches.

    Args:
        shift: (3,) metres from the newer sweep's sensor to the older one's, in the fixed frame.
    """
    points, motion = _sampled(old, shift)
    raw = _fit(points, motion, new, 0.0, False)
    moved = _fit(points, motion, new, 1.0, False)
    if raw is None or moved is None:
        return None
    free = _fit(points, motion, new, 1.0, True, moved.pose)
    if free is None:
        return None
    return SweepMatch(raw.cost, moved.cost, free.scale, free.information)


@dataclass(frozen=True)
class Overlay:
    """How a deskewed sweep lies over another one at its best.

    Attributes:
        cost: mean deviation of the matches, 0..1.
        pose_error: (3,) x, y (m) and yaw (rad) that brought the older sweep over the newer one,
            about its sensor.
    """

    cost: float
    pose_error: Vector


def lay_over(old: Structure, new: Structure, shift: Vector) -> Overlay | None:
    """Lay one deskewed sweep over another; None: too little of it matches.

    Args:
        shift: see `match_sweeps`.
    """
    points, motion = _sampled(old, shift)
    fit = _fit(points, motion, new, 1.0, False)
    return None if fit is None else Overlay(fit.cost, fit.pose)


@dataclass(frozen=True)
class _Fit:
    cost: float
    scale: float
    information: float
    pose: Vector


def _fit(
    points: Float32, motion: Float32, new: Structure, scale: float, free: bool,
    pose: Vector | None = None,
) -> _Fit | None:  # fmt: skip
    """Gauss-Newton over the pose and, if it is free, the scale."""
    pose = np.zeros(3) if pose is None else pose.copy()
    prior = np.diag(1 / _POSE_ERROR**2)
    matrix, vector = np.zeros((4, 4)), np.zeros(4)
    cost, count = 0.0, 0
    steps = _FITTING if free else _ALIGNING
    cloud, cloud_motion = _by_x(new, scale)
    for step in range(steps + 1):
        radius = _FIRST_RADIUS_M if not free and step == 0 else _RADIUS_M
        if free and step > 0:
            cloud, cloud_motion = _by_x(new, scale)
        cost, count = _normal_equations(
            points + np.float32(scale) * motion, motion, cloud, cloud_motion, pose, radius,
            matrix, vector,
        )  # fmt: skip
        if count < _FEWEST:
            return None
        matrix[:3, :3] += prior
        vector[:3] += prior @ pose
        if step == steps:
            break
        if free:
            change = np.linalg.solve(matrix + np.diag([0, 0, 0, 1e-6]), vector)
            scale = float(np.clip(scale - change[3], *_LIMITS))
        else:
            change = np.linalg.solve(matrix[:3, :3], vector[:3])
        pose -= change[:3]
    across = np.linalg.solve(matrix[:3, :3], matrix[:3, 3])
    return _Fit(cost, scale, float(matrix[3, 3] - matrix[3, :3] @ across), pose)


def _by_x(sweep: Structure, scale: float) -> tuple[Float32, Float32]:
    """Points at a share of their motion, and that motion, sorted along x."""
    points = sweep.points + np.float32(scale) * sweep.motion
    order = np.argsort(points[:, 0])
    return points[order], sweep.motion[order]


def _sampled(old: Structure, shift: Vector) -> tuple[Float32, Float32]:
    """Points and motion of a few hundred points, spread over all directions."""
    x, y = old.points[:, 0], old.points[:, 1]
    sector = ((np.arctan2(y, x) / np.pi + 1) * (_SECTORS / 2)).astype(np.intp) % _SECTORS
    chosen = []
    for number in range(_SECTORS):
        mine = np.flatnonzero(sector == number)
        chosen.append(mine[np.linspace(0, len(mine) - 1, min(len(mine), _PER_SECTOR)).astype(int)])
    sample = np.concatenate(chosen)
    return old.points[sample] + shift.astype(np.float32), old.motion[sample]


@njit(nogil=True, inline="always")
def _first_from(cloud, x):  # type: ignore[no-untyped-def]
    """The first of the points (m, 3), sorted along x, that does not lie before x."""
    low, high = 0, len(cloud)
    while low < high:
        middle = (low + high) // 2
        if cloud[middle, 0] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _normal_equations(points, motion, cloud, cloud_motion, pose, radius, matrix, vector):  # type: ignore[no-untyped-def]
    """Sums over the matches of points with their neighbours in the cloud; mean cost and count.

    Args:
        points, motion: (n, 3) float32; cloud, cloud_motion: (m, 3) float32, sorted along x.
        pose: (3,) moves the points: x, y, yaw.
        matrix, vector: (4, 4) and (4,), get the sums for x, y, yaw and scale.
    """
    matrix.fill(0.0)
    vector.fill(0.0)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    near, nearest = np.zeros(_NEIGHBOURS), np.zeros(_NEIGHBOURS, np.int64)
    slope, total, count = np.zeros((2, 4)), 0.0, 0
    for i in range(len(points)):
        x = cos * points[i, 0] - sin * points[i, 1] + pose[0]
        y = sin * points[i, 0] + cos * points[i, 1] + pose[1]
        z = points[i, 2]
        near.fill(radius * radius)
        found = 0
        for j in range(_first_from(cloud, x - radius), len(cloud)):
            dx = x - cloud[j, 0]
            if dx < -radius:
                break
            dy, dz = y - cloud[j, 1], (z - cloud[j, 2]) * _HEIGHT_WEIGHT
            squared = dx * dx + dy * dy + dz * dz
            if squared >= near[-1]:
                continue
            place = _NEIGHBOURS - 1
            while place > 0 and near[place - 1] > squared:
                near[place], nearest[place] = near[place - 1], nearest[place - 1]
                place -= 1
            near[place], nearest[place] = squared, j
            found += 1
        if found < _NEIGHBOURS:
            continue
        mx, my, ux, uy = 0.0, 0.0, 0.0, 0.0
        for k in range(_NEIGHBOURS):
            mx += cloud[nearest[k], 0] / _NEIGHBOURS
            my += cloud[nearest[k], 1] / _NEIGHBOURS
            ux += cloud_motion[nearest[k], 0] / _NEIGHBOURS
            uy += cloud_motion[nearest[k], 1] / _NEIGHBOURS
        xx, xy, yy = _NOISE_M**2, 0.0, _NOISE_M**2
        for k in range(_NEIGHBOURS):
            dx, dy = cloud[nearest[k], 0] - mx, cloud[nearest[k], 1] - my
            xx += dx * dx / _NEIGHBOURS
            xy += dx * dy / _NEIGHBOURS
            yy += dy * dy / _NEIGHBOURS
        area = xx * yy - xy * xy
        wxx, wxy, wyy = yy / area, -xy / area, xx / area
        ex, ey = x - mx, y - my
        deviation = ex * (wxx * ex + wxy * ey) + ey * (wxy * ex + wyy * ey)
        kept = 1 / (1 + deviation / _OUTLIER**2)
        total += deviation / _OUTLIER**2 * kept
        count += 1
        slope[0, 0], slope[1, 1] = 1.0, 1.0
        slope[0, 2], slope[1, 2] = pose[1] - y, x - pose[0]
        slope[0, 3] = cos * motion[i, 0] - sin * motion[i, 1] - ux
        slope[1, 3] = sin * motion[i, 0] + cos * motion[i, 1] - uy
        weight = kept * kept
        for a in range(4):
            ax = weight * (wxx * slope[0, a] + wxy * slope[1, a])
            ay = weight * (wxy * slope[0, a] + wyy * slope[1, a])
            vector[a] += ax * ex + ay * ey
            for b in range(4):
                matrix[a, b] += ax * slope[0, b] + ay * slope[1, b]
    return total / max(count, 1), count
