"""How users write where the LiDAR sits on the robot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import from_pose

Matrix = npt.NDArray[np.float64]


def parse_transform(value: str | Sequence[float] | None) -> Matrix | None:
    """Read 'x y z', 'x y z roll pitch yaw' (m, rad, fixed axes, REP-103) or 'x y z qx qy qz qw'.

    Args:
        value: text with numbers parted by spaces or commas, or a list of numbers.

    Returns:
        (4, 4) T_base_lidar, or None for no value.

    Raises:
        ValueError: not 3, 6 or 7 numbers, or not a rotation.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"needs 3, 6 or 7 numbers, got {value!r}")
    parts = value.strip("[] ").replace(",", " ").split() if isinstance(value, str) else list(value)
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise ValueError(f"needs 3, 6 or 7 numbers, got {value!r}") from None
    if len(numbers) == 3:
        return from_pose(numbers, [0, 0, 0, 1])
    if len(numbers) == 6:
        return from_pose(numbers[:3], _quaternion_from_euler(*numbers[3:]))
    if len(numbers) == 7:
        return from_pose(numbers[:3], numbers[3:])
    raise ValueError(f"needs 3, 6 or 7 numbers, got {len(numbers)}")


def _quaternion_from_euler(roll: float, pitch: float, yaw: float) -> list[float]:
    """Rotation about fixed x, then y, then z, as quaternion x y z w."""
    if not all(map(math.isfinite, (roll, pitch, yaw))):
        raise ValueError(f"not angles: {roll} {pitch} {yaw}")
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return [
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    ]
