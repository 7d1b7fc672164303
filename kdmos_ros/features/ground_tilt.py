"""Which way is up, as the ground around a sensor shows it: a plane through its lowest returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

# Where the ground is near enough to be flat, and far enough not to be the robot.
_NEAREST_M, _FARTHEST_M = 2.0, 12.0
_RING_M, _SECTORS = 1.0, 48
_POINTS = 15_000
# The plane lies so far below the sensor; what is nearer to it than _THICKNESS_M belongs to it.
_LOWEST_M, _HIGHEST_M = 4.0, 0.1
_THICKNESS_M = 0.1
# Of the cells, so many must belong to it, and they must lie around (variances, m^2).
_AGREEING, _CELLS, _SPREAD_M2 = 0.4, 40, 4.0
_TRIPLES, _STEEPEST = 300, np.cos(np.radians(35.0))


def ground_normal(points: npt.NDArray[np.float32]) -> Float64 | None:
    """Unit vector (3,) that points up from the ground, along the points' axes; None: not seen.

    Args:
        points: (N, 3) float32 from the sensor, metres, along axes whose z is up to within 35
            degrees; rows without a return are not finite or 0.
    """
    lowest = _lowest(points[:: max(1, len(points) // _POINTS)].astype(np.float64))
    if len(lowest) < _CELLS:
        return None
    member = _most_agreeing(lowest)
    if np.count_nonzero(member) < max(_CELLS, _AGREEING * len(lowest)):
        return None
    ground = lowest[member]
    centre = ground.mean(axis=0)
    _, spread, axes = np.linalg.svd(ground - centre, full_matrices=False)
    if spread[1] ** 2 < _SPREAD_M2 * len(ground):
        return None
    normal: Float64 = axes[2] if axes[2, 2] > 0 else -axes[2]
    return normal


def _lowest(points: Float64) -> Float64:
    """The lowest return (C, 3) of each cell around the sensor."""
    with np.errstate(invalid="ignore", over="ignore"):
        rho = np.hypot(points[:, 0], points[:, 1])
        near = (rho >= _NEAREST_M) & (rho < _FARTHEST_M) & np.isfinite(points[:, 2])
    points, rho = points[near], rho[near]
    sector = ((np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) + 0.5) * _SECTORS).astype(int)
    cell = (rho / _RING_M).astype(int) * _SECTORS + sector % _SECTORS
    order = np.lexsort((points[:, 2], cell))
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    return points[order[first]]


def _most_agreeing(lowest: Float64) -> npt.NDArray[np.bool_]:
    """Which points (C,) lie on the plane through three of them that most lie on (RANSAC)."""
    rng = np.random.default_rng(0)
    a, b, c = (lowest[rng.integers(0, len(lowest), _TRIPLES)] for _ in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    normal = normal / np.where(length > 0, length, 1.0)[:, None]
    normal[normal[:, 2] < 0] *= -1
    below = -np.einsum("ij,ij->i", normal, a)
    fits = (length > 0.5) & (normal[:, 2] > _STEEPEST)
    fits &= (below > _HIGHEST_M) & (below < _LOWEST_M)
    if not fits.any():
        return np.zeros(len(lowest), bool)
    member = np.abs(lowest @ normal[fits].T + below[fits]) < _THICKNESS_M
    best: npt.NDArray[np.bool_] = member[:, member.sum(axis=0).argmax()]
    return best
