"""Odometry with the errors of scan matching: drift, a correlated error and a little jitter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import invert, make_transform

Array = npt.NDArray[np.float64]


def rotation(roll_pitch_yaw: npt.ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) = Rz(yaw) Ry(pitch) Rx(roll) from angles (..., 3)."""
    angles = np.asarray(roll_pitch_yaw, dtype=np.float64)
    cr, cp, cy = np.moveaxis(np.cos(angles), -1, 0)
    sr, sp, sy = np.moveaxis(np.sin(angles), -1, 0)
    out = np.empty((*angles.shape[:-1], 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = (
        cy * cp,
        cy * sp * sr - sy * cr,
        cy * sp * cr + sy * sr,
    )
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = (
        sy * cp,
        sy * sp * sr + cy * cr,
        sy * sp * cr - cy * sr,
    )
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = -sp, cp * sr, cp * cr
    return out


def noisy_odometry(rng: np.random.Generator, true_poses: Array, times: Array) -> Array:
    """odom_T_base as a scan-matching odometry would report it.

    The error has three parts: a drift that grows with the distance driven, a first-order
    Gauss-Markov error of 1-2 cm and some 0.04 degrees with a memory of half a second or so, and
    white jitter of a few millimetres. Together a step is off by 1-3 cm and about 0.05 degrees.

    Args:
        true_poses: (K, 4, 4) world_T_base.
        times: (K,) seconds, ascending.

    Returns:
        (K, 4, 4) odom_T_base, the identity (but for the error) at the first pose.
    """
    count = len(times)
    level = float(np.clip(rng.lognormal(0.0, 0.4), 0.4, 2.0))
    step = np.diff(times, prepend=times[0])
    memory = np.exp(-step / rng.uniform(0.2, 1.0))
    sigma = level * np.array([0.011, 0.011, 0.009, *np.deg2rad([0.025, 0.025, 0.035])])
    white = level * np.array([0.004, 0.004, 0.004, *np.deg2rad([0.012, 0.012, 0.015])])
    markov = np.empty((count, 6))
    state = rng.normal(size=6)
    draws = rng.normal(size=(count, 6))
    for k in range(count):
        state = memory[k] * state + np.sqrt(1 - memory[k] ** 2) * draws[k]
        markov[k] = state
    start = invert(true_poses[0])
    local = start @ true_poses
    driven = np.cumsum(np.linalg.norm(np.diff(local[:, :3, 3], axis=0, prepend=0), axis=1))
    drift_rate = level * rng.normal(0, [0.004, 0.004, 0.004, *np.deg2rad([0.003, 0.003, 0.006])])
    error = sigma * markov + white * rng.normal(size=(count, 6)) + driven[:, None] * drift_rate
    out = np.empty((count, 4, 4))
    turns = rotation(error[:, 3:])
    for k in range(count):
        out[k] = local[k] @ make_transform(turns[k], error[k, :3])
    return out
