"""Rigid transforms and quaternions. Conventions as REP-103: right-handed, quaternions x y z w."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def quaternion_to_matrix(quaternion: npt.ArrayLike) -> Matrix:
    """Rotation matrix (3, 3) of a quaternion (x, y, z, w) of any non-zero length.

    Raises:
        ValueError: the quaternion is zero or not finite.
    """
    q = np.asarray(quaternion, dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-9:
        raise ValueError(f"not a rotation: quaternion {q.tolist()}")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_to_quaternion(rotation: npt.ArrayLike) -> Matrix:
    """Unit quaternion (x, y, z, w), w >= 0, of a rotation matrix (3, 3).

    Uses the largest of the four components as pivot (Shepperd 1978), stable for all rotations.
    """
    m = np.asarray(rotation, dtype=np.float64)
    trace = float(np.trace(m))
    # Four times the squares of x, y, z, w; at least one of them is 1 or more.
    squares = np.array([*(1 - trace + 2 * np.diag(m)), 1 + trace])
    pivot = int(np.argmax(squares))
    if pivot == 3:
        q = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]])
    else:
        i, j, k = pivot, (pivot + 1) % 3, (pivot + 2) % 3
        q = np.empty(4)
        q[i] = squares[i]
        q[j] = m[j, i] + m[i, j]
        q[k] = m[k, i] + m[i, k]
        q[3] = m[k, j] - m[j, k]
    q /= np.linalg.norm(q)
    return -q if q[3] < 0 else q


def rotation_between(start: npt.ArrayLike, end: npt.ArrayLike) -> Matrix:
    """The smallest rotation (3, 3) that takes one direction (3,) to another.

    Raises:
        ValueError: they are opposite, so that no rotation is the smallest.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    cross, cosine = np.cross(a, b), float(a @ b)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm + cosine < 1e-9 * norm:
        raise ValueError("opposite directions")
    return quaternion_to_matrix([*cross, norm + cosine])


def slerp(start: npt.ArrayLike, end: npt.ArrayLike, fraction: float) -> Matrix:
    """Spherical linear interpolation of unit quaternions along the shorter arc (Shoemake 1985)."""
    q0 = np.asarray(start, dtype=np.float64)
    q1 = np.asarray(end, dtype=np.float64)
    q0, q1 = q0 / np.linalg.norm(q0), q1 / np.linalg.norm(q1)
    cosine = float(q0 @ q1)
    if cosine < 0:
        q1, cosine = -q1, -cosine
    if cosine > 0.9999995:  # the arc is too short for sin(): the chord is as good
        q = q0 + fraction * (q1 - q0)
    else:
        angle = np.arccos(cosine)
        q = (np.sin((1 - fraction) * angle) * q0 + np.sin(fraction * angle) * q1) / np.sin(angle)
    return q / np.linalg.norm(q)


def make_transform(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> Matrix:
    """Homogeneous (4, 4) matrix from a rotation (3, 3) and a translation (3,) in metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def from_pose(translation: npt.ArrayLike, quaternion: npt.ArrayLike) -> Matrix:
    """Homogeneous (4, 4) matrix from a translation (3,) and a quaternion (x, y, z, w).

    Raises:
        ValueError: the quaternion is zero, or a number is not finite.
    """
    t = np.asarray(translation, dtype=np.float64)
    if not np.isfinite(t).all():
        raise ValueError(f"not a position: {t.tolist()}")
    return make_transform(quaternion_to_matrix(quaternion), t)


def invert(transform_ab: Matrix) -> Matrix:
    """Inverse of a rigid transform (4, 4): T_b_a from T_a_b."""
    rotation = transform_ab[:3, :3].T
    return make_transform(rotation, -rotation @ transform_ab[:3, 3])


def interpolate(start: Matrix, end: Matrix, fraction: float) -> Matrix:
    """Pose between two poses (4, 4): SLERP of the rotation, linear in the translation."""
    q = slerp(matrix_to_quaternion(start[:3, :3]), matrix_to_quaternion(end[:3, :3]), fraction)
    return from_pose(start[:3, 3] + fraction * (end[:3, 3] - start[:3, 3]), q)


def transform(transform_ab: Matrix, points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Move points (N, 3) of frame b into frame a. The dtype of the points is kept."""
    rotation = transform_ab[:3, :3].astype(points.dtype)
    return points @ rotation.T + transform_ab[:3, 3].astype(points.dtype)
