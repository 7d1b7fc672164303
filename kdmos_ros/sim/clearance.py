"""Whether bodies are in each other's way."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim import solids as col
from kdmos_ros.sim.odometry_noise import rotation
from kdmos_ros.sim.world import Placed

Array = npt.NDArray[Any]


def clear_of(placed: list[Placed], line: Array, room: float) -> npt.NDArray[np.bool_]:
    """Which bodies (P,) keep clear of a line (K, 2): see `blocks`."""
    at = np.array([p.pose[:2] for p in placed]).reshape(-1, 2)
    reach_of: dict[int, float] = {}  # many share one body
    for p in placed:
        if id(p.body) not in reach_of:
            size = np.linalg.norm(p.body[:, 4:7], axis=1)
            reach_of[id(p.body)] = float((np.linalg.norm(p.body[:, 1:3], axis=1) + size).max())
    reach = np.array([reach_of[id(p.body)] for p in placed])
    squared = ((at[:, None] - line) ** 2).sum(-1).min(1) if len(placed) else np.empty(0)
    clear = squared > (reach + 1.5 * room + 2.0) ** 2
    for k in np.flatnonzero(~clear):
        clear[k] = not blocks(placed[k], line, room)
    return clear


def blocks(placed: Placed, line: Array, room: float) -> bool:
    """Whether a body's lower part comes within `room` metres of the points (K, 2) of a line."""
    x, y, yaw = placed.pose
    dx, dy = line[:, 0] - x, line[:, 1] - y
    c, s = np.cos(yaw), np.sin(yaw)
    u, v = c * dx + s * dy, c * dy - s * dx
    rows = placed.body
    turned = np.abs(rotation(rows[:, col.ANGLES]))
    hx, hy, hz = np.einsum("sij,sj->is", turned, rows[:, col.HALF])
    low = rows[:, 3] - hz < 2.4
    near = (np.abs(u[:, None] - rows[low, 1]) < hx[low] + room) & (
        np.abs(v[:, None] - rows[low, 2]) < hy[low] + room
    )
    return bool(near.any())


class Clearance(Protocol):
    """What stands somewhere, and whether lines keep clear of it."""

    def clear(self, line: Array, room: float) -> bool:
        """Whether all of it is more than `room` metres from the points (K, 2) of a line."""


class Obstacles:
    """Bodies that stand somewhere, made ready for asking whether many lines keep clear of them."""

    def __init__(self, placed: list[Placed]) -> None:
        self._placed = placed
        self._at = np.array([p.pose[:2] for p in placed]).reshape(-1, 2)
        self._reach = np.array([_reach(p) for p in placed])

    def clear(self, line: Array, room: float) -> bool:
        """Whether all keep clear of a line (K, 2): see `blocks`."""
        middle = 0.5 * (line.min(0) + line.max(0))
        half = 0.5 * float(np.hypot(*np.ptp(line, axis=0)))
        far = np.hypot(*(self._at - middle).T) - self._reach
        return not any(blocks(self._placed[k], line, room)
                       for k in np.flatnonzero(far < half + 2 * room))  # fmt: skip


def _reach(placed: Placed) -> float:
    rows = placed.body
    size = np.linalg.norm(rows[:, col.HALF], axis=1)
    return float((np.linalg.norm(rows[:, 1:3], axis=1) + size).max())


def collide(
    a: Array, size_a: tuple[float, float], b: Array, size_b: tuple[float, float], room: float = 0.25
) -> bool:
    """Whether two rectangles on tracks (K, 3) overlap at any time (separating axes)."""
    dx, dy, turn = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1], b[:, 2] - a[:, 2]
    reach = 0.5 * (size_a[0] + size_b[0]) + 1.5
    close = dx * dx + dy * dy < reach * reach
    if not close.any():
        return False
    dx, dy, turn, yaw_a, yaw_b = (q[close] for q in (dx, dy, turn, a[:, 2], b[:, 2]))
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    hit = np.ones(len(dx), dtype=bool)
    for yaw, (l0, w0), (l1, w1) in ((yaw_a, size_a, size_b), (yaw_b, size_b, size_a)):
        u, v = np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx
        hit &= np.abs(u) < 0.5 * (l0 + c * l1 + s * w1) + room
        hit &= np.abs(v) < 0.5 * (w0 + c * w1 + s * l1) + room
    return bool(hit.any())
