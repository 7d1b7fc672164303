"""Spoils recorded odometry on purpose, to measure how much a model bears."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import from_pose, invert
from kdmos_ros.poses.recorded_poses import Recorded

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PoseNoise:
    """What is wrong with the poses. Errors are of the LiDAR's pose, in its own frame.

    Attributes:
        noise_m, noise_deg: root mean square length and angle of an error that each pose has
            independently of the others, so that two poses differ by sqrt(2) as much.
        drift_m, drift_deg: root mean square of what a random walk adds in one second.
        offset_ms: by which the odometry's stamps are late (negative: early).
        planar: the odometry knows the plane of its first pose only, as that of wheels does: height,
            roll and pitch are lost.
        seed: of the random numbers.
    """

    noise_m: float = 0.0
    noise_deg: float = 0.0
    drift_m: float = 0.0
    drift_deg: float = 0.0
    offset_ms: float = 0.0
    planar: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.noise_m, self.noise_deg, self.drift_m, self.drift_deg, self.seed) < 0:
            raise ValueError("noise, drift and seed must not be negative")

    @property
    def any(self) -> bool:
        """Whether there is an error at all."""
        return self != PoseNoise(seed=self.seed)

    def apply(self, odometry: Recorded, base_T_sensor: Matrix) -> list[tuple[int, Matrix]]:
        """The same odometry, (stamp in ns, T_odom_base (4, 4)) each, with the error."""
        rng = np.random.default_rng(self.seed)
        sensor_T_base = invert(base_T_sensor)
        walk = np.zeros(6)
        spoilt, last_ns, first = [], None, None
        for stamp_ns, pose in odometry:
            if self.planar:
                first = pose if first is None else first
                pose = first @ _in_plane(invert(first) @ pose)
            # Drawn for all, so that rows of a table differ by the size of the error only.
            independent, step = rng.normal(size=(2, 6)) / math.sqrt(3)
            elapsed = (stamp_ns - last_ns) * 1e-9 if last_ns is not None else 0.0
            walk += step * math.sqrt(max(0.0, elapsed))
            last_ns = stamp_ns
            noise = _motion(independent, self.noise_m, self.noise_deg)
            drift = _motion(walk, self.drift_m, self.drift_deg)
            moved = pose @ base_T_sensor @ drift @ noise @ sensor_T_base
            spoilt.append((stamp_ns + round(self.offset_ms * 1e6), moved))
        return spoilt


def _motion(unit: npt.NDArray[np.float64], metres: float, degrees: float) -> Matrix:
    """Six numbers, scaled: a translation and a rotation vector."""
    vector = np.radians(unit[3:] * degrees)
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else vector
    return from_pose(unit[:3] * metres, [*(axis * math.sin(angle / 2)), math.cos(angle / 2)])


def _in_plane(motion: Matrix) -> Matrix:
    """Only x, y and yaw of a motion."""
    yaw = math.atan2(motion[1, 0], motion[0, 0])
    return from_pose([*motion[:2, 3], 0.0], [0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])
