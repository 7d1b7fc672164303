"""Odometry with the errors of scan matching: drift, a correlated error and a little jitter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import invert, make_transform

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

    The error has three parts: a drift whose rate wanders with a memory of some seconds and grows
    with the speed (at 10 m/s typically 0.05-0.1 degrees and 1-3 cm after a second and a half), a
    first-order Gauss-Markov error with a memory of half a second or so, and white jitter. Each
    has its own level in every drive, from nearly none to clearly bad; one drive in five jitters
    by centimetres from scan to scan, the others by millimetres.

    Args:
        true_poses: (K, 4, 4) world_T_base.
        times: (K,) seconds, ascending.

    Returns:
        (K, 4, 4) odom_T_base, the identity (but for the error) at the first pose.
    """
    count = len(times)
    drifts = float(np.clip(rng.lognormal(-0.3, 0.55), 0.12, 1.1))
    jitters = float(np.clip(rng.lognormal(0.0, 0.5), 0.2, 3.0))
    jitters *= rng.uniform(2.0, 4.0) if rng.random() < 0.2 else 1.0
    step = np.diff(times, prepend=times[0])
    sigma = jitters * np.array([0.004, 0.004, 0.003, *np.deg2rad([0.008, 0.008, 0.012])])
    white = jitters * np.array([0.002, 0.002, 0.0015, *np.deg2rad([0.004, 0.004, 0.005])])
    rate = drifts * np.array([0.025, 0.02, 0.022, *np.deg2rad([0.07, 0.07, 0.1])])
    local = invert(true_poses[0]) @ true_poses
    moved = np.linalg.norm(np.diff(local[:, :3, 3], axis=0, prepend=local[:1, :3, 3]), axis=1)
    speed = moved / np.maximum(step, 1e-6)
    going = step * np.clip(speed / 10.0, 0.05, 1.2)  # who stands hardly drifts
    wander = _gauss_markov(rng, step, rng.uniform(0.7, 4.0))
    error = (
        sigma * _gauss_markov(rng, step, rng.uniform(0.2, 1.0))
        + white * rng.normal(size=(count, 6))
        + rate * np.cumsum(going[:, None] * wander, axis=0)
    )
    out = np.empty((count, 4, 4))
    turns = rotation(error[:, 3:])
    for k in range(count):
        out[k] = local[k] @ make_transform(turns[k], error[k, :3])
    return out


def _gauss_markov(rng: np.random.Generator, step: Array, memory_s: float) -> Array:
    """Six first-order Gauss-Markov processes (K, 6) of unit variance."""
    keep = np.exp(-step / memory_s)
    out, state = np.empty((len(step), 6)), rng.normal(size=6)
    draws = rng.normal(size=out.shape)
    for k in range(len(step)):
        state = keep[k] * state + np.sqrt(1 - keep[k] ** 2) * draws[k]
        out[k] = state
    return out
