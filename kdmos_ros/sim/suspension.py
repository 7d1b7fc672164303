"""How a vehicle's body rocks on its springs, over bumps and as it brakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.sim.traffic import TIME_STEP, Track

Array = npt.NDArray[Any]
_SUBSTEPS = 5


def suspend(lean: Array, ego: Track, rng: np.random.Generator) -> Array:
    """Poses (K, 6) of a body on springs, from those (K, 6) it would have without.

    Height, roll and pitch each follow the ground as a damped oscillator of 1-2 Hz. It dives when
    it brakes, by some tenths of a degree, and engine and tyres shake it a little as it drives.
    """
    target = lean[:, 2:5].copy()
    brakes = -np.gradient(ego.speed, TIME_STEP)
    target[:, 2] += rng.uniform(0.001, 0.0035) * np.clip(brakes, -4, 4)
    shaken = np.clip(ego.speed / 8, 0, 1)[:, None] * rng.normal(size=target.shape)
    target += rng.uniform(0.2, 1.0) * np.array([0.003, 0.0008, 0.0008]) * shaken
    frequency = rng.uniform([1.0, 1.2, 1.2], [1.6, 2.0, 2.0])
    out = lean.copy()
    out[:, 2:5] = _oscillate(target, 2 * np.pi * frequency, rng.uniform(0.35, 0.6))
    return out


@njit(cache=True, nogil=True)
def _oscillate(target, omega, damping):  # type: ignore[no-untyped-def]
    """Masses (K, n) on springs and dampers whose feet follow target (K, n).

    Args:
        omega: (n,) natural frequencies, radians a second; damping: share of the critical one.
    """
    count, n = target.shape
    out = np.empty((count, n))
    out[0] = target[0]
    step = TIME_STEP / _SUBSTEPS
    for c in range(n):
        x, v = target[0, c], (target[1, c] - target[0, c]) / TIME_STEP if count > 1 else 0.0
        for k in range(1, count):
            rate = (target[k, c] - target[k - 1, c]) / TIME_STEP
            foot = target[k - 1, c]
            for _ in range(_SUBSTEPS):
                foot += rate * step
                v += step * (omega[c] ** 2 * (foot - x) + 2 * damping * omega[c] * (rate - v))
                x += step * v
            out[k, c] = x
    return out
