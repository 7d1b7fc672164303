"""Whether a pose continues the motion of its neighbours, or jumps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import matrix_to_quaternion, slerp

Matrix = npt.NDArray[np.float64]

# What no ground robot exceeds between two poses; more is a jump of the pose source.
_MAX_ACCELERATION = 20.0  # m/s^2
_MAX_SPEED = 80.0  # m/s
_MAX_ANGULAR_ACCELERATION = 20.0  # rad/s^2
_MAX_TURN_RATE = 7.0  # rad/s
_TURN_SLACK = math.radians(6.0)


class Stamped(NamedTuple):
    """A pose (4, 4) at a stamp in nanoseconds."""

    stamp_ns: int
    pose: Matrix


def jump(new: Stamped, nearest: Stamped, farther: Stamped | None, slack_m: float) -> str:
    """Why a pose cannot follow (or precede) its neighbours in time; empty if it can.

    Args:
        nearest, farther: what is known on one side of it; None if there is but one pose.
        slack_m: metres off a motion without sudden changes that are still fine. 6 degrees are.
    """
    dt = abs(new.stamp_ns - nearest.stamp_ns) * 1e-9
    before = abs(nearest.stamp_ns - farther.stamp_ns) * 1e-9 if farther else 0.0
    expected = nearest.pose[:3, 3]
    turned = matrix_to_quaternion(nearest.pose[:3, :3])
    if farther is None or 2 * before < dt:  # a speed from too short a time is mostly noise
        limit_m, limit_rad = slack_m + _MAX_SPEED * dt, _TURN_SLACK + _MAX_TURN_RATE * dt
    else:
        expected = expected + (expected - farther.pose[:3, 3]) * (dt / before)
        turned = slerp(matrix_to_quaternion(farther.pose[:3, :3]), turned, 1 + dt / before)
        # The speed is the mean over the time before: half of that is gone already.
        lag = 0.5 * dt * (dt + before)
        limit_m = slack_m + _MAX_ACCELERATION * lag
        limit_rad = _TURN_SLACK + _MAX_ANGULAR_ACCELERATION * lag
    off_m = float(np.linalg.norm(new.pose[:3, 3] - expected))
    if off_m > limit_m:
        return f"is {off_m:.1f} m off its course"
    cosine = abs(float(matrix_to_quaternion(new.pose[:3, :3]) @ turned))
    off_rad = 2 * math.acos(min(1.0, cosine))
    if off_rad > limit_rad:
        return f"is turned by {math.degrees(off_rad):.0f} degrees"
    return ""
