"""Speeds and positions over time: scripted profiles and car following.

Followers obey the Intelligent Driver Model (Treiber, Hennecke, Helbing, Phys. Rev. E 62, 2000), so
that queues, stopping and starting come out by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.sim.paths import Path

Array = npt.NDArray[Any]
TIME_STEP = 0.05
MARGIN = 0.4  # tracks reach this far (s) beyond the drive at both ends, for sweeps
MOVING_FROM, MOVING_UNTIL = 0.8, 0.5  # m/s


def clock(horizon: float) -> Array:
    """Times of a track's samples for a world that lasts from 0 to horizon seconds."""
    return np.arange(-MARGIN, horizon + MARGIN + TIME_STEP, TIME_STEP)


@dataclass(frozen=True)
class Track:
    """A body's motion on the plane, sampled at `clock`.

    Attributes:
        pose: (K, 3) x, y, yaw; speed: (K,) m/s.
        walk, gesture: (K,) phases of swinging limbs, radians.
    """

    pose: Array
    speed: Array
    walk: Array
    gesture: Array


def follow(path: Path, s: Array, speed: Array, stride: float = 1.0, wave: float = 0.0) -> Track:
    """The track of a body at arc lengths s (K,) of a path.

    Args:
        stride: metres in which a limb swings once to and fro.
        wave: frequency of gestures in Hz.
    """
    times = TIME_STEP * np.arange(len(s))
    return Track(path.at(s), np.abs(speed), 2 * np.pi * s / stride, 2 * np.pi * wave * times)


def standing(pose: tuple[float, float, float], samples: int, wave: float = 0.0) -> Track:
    """The track of a body that stays where it is."""
    zero = np.zeros(samples)
    times = TIME_STEP * np.arange(samples)
    return Track(np.tile(np.asarray(pose, float), (samples, 1)), zero, zero,
                 2 * np.pi * wave * times)  # fmt: skip


def moving_flags(speeds: Array) -> npt.NDArray[np.bool_]:
    """Which samples (A, K) count as moving: from MOVING_FROM on, until below MOVING_UNTIL."""
    flags = np.empty(speeds.shape, dtype=bool)
    if speeds.size:
        state = speeds[:, 0] > MOVING_FROM
        for k in range(speeds.shape[1]):
            state = np.where(state, speeds[:, k] > MOVING_UNTIL, speeds[:, k] > MOVING_FROM)
            flags[:, k] = state
    return flags


def desired_speed(rng: np.random.Generator, times: Array, cruise: float, style: str) -> Array:
    """Speed (K,) a driver would like to go at.

    Args:
        style: "steady", "starting", "stopping", "stop_and_go", "varying" or "standing".
    """
    horizon = max(times[-1], 1.0)
    when = rng.uniform(0.0, 0.9) * horizon
    if style == "standing":
        return np.zeros(len(times))
    if style == "starting":
        return np.where(times > when, cruise, 0.0)
    if style == "stopping":
        return np.where(times < when, cruise, 0.0)
    speed = np.full(len(times), cruise)
    if style in ("stop_and_go", "varying"):
        at = float(times[0])
        stop = bool(rng.random() < 0.5)
        while at < times[-1]:
            lasts = rng.uniform(1.5, 6.0)
            low = 0.0 if style == "stop_and_go" else cruise * rng.uniform(0.3, 0.8)
            chosen = low if stop else cruise * rng.uniform(0.6, 1.2)
            speed[(times >= at) & (times < at + lasts)] = chosen
            at, stop = at + lasts, not stop
    return speed


def draw_style(rng: np.random.Generator) -> str:
    """A driving style, most of them without a stop."""
    styles = ["steady", "varying", "starting", "stopping", "stop_and_go"]
    return styles[int(rng.choice(5, p=[0.4, 0.25, 0.12, 0.13, 0.1]))]


def integrate(desired: Array, start: float, accel: float = 1.6) -> tuple[Array, Array]:
    """Positions and speeds (K,) of a lone body that goes for its desired speed."""
    s, v = drive_lane(
        np.array([start]), np.array([desired[0]]), np.array([4.0]), desired[None],
        np.array([np.inf]), np.zeros(len(desired), bool), accel,
    )  # fmt: skip
    return s[0], v[0]


@njit(cache=True, nogil=True)
def drive_lane(s0, v0, length, desired, stop_at, red, accel):  # type: ignore[no-untyped-def]
    """Drive a lane's vehicles, the leader first.

    Args:
        s0, v0, length: (n,) first position (of the middle), speed, length.
        desired: (n, K) desired speeds. stop_at: (n,) position of the stop line that binds each
            vehicle (inf: none) while red (K,).

    Returns:
        positions and speeds, (n, K) each.
    """
    n, count = desired.shape
    s, v = np.empty((n, count)), np.empty((n, count))
    for i in range(n):
        s[i, 0], v[i, 0] = s0[i], v0[i]
    for k in range(1, count):
        for i in range(n):
            speed, want = v[i, k - 1], desired[i, k - 1]
            a = accel * (1.0 - (speed / want) ** 4) if want > 0.05 else -2.0
            gap, closing = np.inf, 0.0
            if i > 0:
                gap = s[i - 1, k - 1] - s[i, k - 1] - 0.5 * (length[i - 1] + length[i])
                closing = speed - v[i - 1, k - 1]
            front = s[i, k - 1] + 0.5 * length[i]
            if red[k - 1] and front < stop_at[i] and stop_at[i] - front < gap:
                gap, closing = stop_at[i] - front, speed
            if gap < 1e6:
                wish = 2.0 + max(0.0, speed * 1.3 + speed * closing / (2 * np.sqrt(accel * 2.5)))
                a = min(a, accel * (1.0 - (wish / max(gap, 0.1)) ** 2))
            speed = max(0.0, speed + TIME_STEP * min(max(a, -6.0), accel))
            v[i, k] = speed
            s[i, k] = s[i, k - 1] + TIME_STEP * speed
    return s, v
