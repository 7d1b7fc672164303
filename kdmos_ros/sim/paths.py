"""Plane curves to drive along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Path:
    """A curve sampled at arc lengths s (K,): positions xy (K, 2) and unwrapped headings (K,)."""

    s: Array
    xy: Array
    yaw: Array

    @property
    def length(self) -> float:
        return float(self.s[-1])

    def at(self, s: npt.ArrayLike) -> Array:
        """(..., 3) x, y, yaw at arc lengths; the curve goes on straight beyond its ends."""
        along = np.asarray(s, dtype=np.float64)
        inside = np.clip(along, self.s[0], self.s[-1])
        yaw = np.interp(inside, self.s, self.yaw)
        beyond = along - inside
        x = np.interp(inside, self.s, self.xy[:, 0]) + beyond * np.cos(yaw)
        y = np.interp(inside, self.s, self.xy[:, 1]) + beyond * np.sin(yaw)
        return np.stack([x, y, yaw], axis=-1)

    def shifted(self, left: float | Array) -> Path:
        """The parallel curve `left` metres to the left (a number, or one a sample)."""
        normal = np.stack([-np.sin(self.yaw), np.cos(self.yaw)], axis=-1)
        return through(self.xy + np.asarray(left)[..., None] * normal)

    def reversed(self) -> Path:
        """The same curve driven the other way."""
        return Path(self.s[-1] - self.s[::-1], self.xy[::-1], self.yaw[::-1] + np.pi)


def through(xy: Array) -> Path:
    """The path through points (K, 2)."""
    step = np.diff(xy, axis=0)
    s = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    tangent = np.gradient(xy, axis=0)
    return Path(s, xy, np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0])))


def trace(start: tuple[float, float, float], legs: list[tuple[float, float]]) -> Path:
    """The path from x, y, yaw along legs of (length in m, curvature in 1/m, left positive)."""
    step = 1.0
    curvature = np.concatenate([np.full(max(1, round(leg / step)), k) for leg, k in legs])
    yaw = start[2] + np.concatenate([[0.0], np.cumsum(curvature * step)])
    middle = (yaw[:-1] + yaw[1:]) / 2
    x = start[0] + np.concatenate([[0.0], np.cumsum(step * np.cos(middle))])
    y = start[1] + np.concatenate([[0.0], np.cumsum(step * np.sin(middle))])
    return Path(step * np.arange(len(yaw)), np.stack([x, y], axis=-1), yaw)
