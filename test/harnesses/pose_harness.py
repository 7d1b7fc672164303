"""Poses for tests."""

import math

from kdmos_ros.geometry.transforms import from_pose


def turned(yaw, x=0.0, y=0.0, z=0.0, roll=0.0):
    """A pose that is rolled, then turned."""
    half, tilt = yaw / 2, roll / 2
    q = (
        math.sin(tilt) * math.cos(half),
        math.sin(tilt) * math.sin(half),
        math.cos(tilt) * math.sin(half),
        math.cos(tilt) * math.cos(half),
    )
    return from_pose([x, y, z], q)
