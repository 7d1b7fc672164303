"""Scans turned upright: as a level sensor at the same place would have taken them.

Range images, heights and slabs need level axes, and sensors are mounted as robots need them:
pitched, upside down, on a body that bobs. So every scan is turned first, and all that follows knows
level sensors only. A level sensor's scans stay as they are, to the bit.

Up is the z axis of the base. The z axis of the odometry frame is not asked, because many odometries
begin wherever the sensor happens to look. But they know how the base turns from one scan to the
next. So a base that bobs, as legged robots do, is found out by its z axis, seen in the odometry
frame over the last WINDOW_S seconds: the more it sways, the more up is its mean. A body on springs
sways too little for that, and a slope is followed at once.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import make_transform, rotation_between
from kdmos_ros.scan import Scan, turned

Float64 = npt.NDArray[np.float64]

WINDOW_S = 2.0
_WINDOW_NS = round(WINDOW_S * 1e9)
# Root mean square of the angle to the mean axis: up to the first the base's own axis counts, from
# the second on the mean. Cars stay below half a degree; 5 degrees of bobbing are 3.5.
STEADY_RAD, BOBBING_RAD = math.radians(2.0), math.radians(3.5)
_UP = np.array([0.0, 0.0, 1.0])


class Upright:
    """Turns the scans of one sensor. Causal: a scan is turned by itself and earlier ones.

    Args:
        base_T_sensor: (4, 4) mount of the sensor, for scans that do not know theirs.
    """

    def __init__(self, base_T_sensor: Float64) -> None:
        self._usual_mount = base_T_sensor
        # The base's z axis in the odometry frame, by stamp in the order of the scans.
        self._axes: dict[int, Float64] = {}

    def turn(self, scan: Scan) -> Scan:
        """The scan in the upright frame: its origin is the sensor, its x axis that of the base.

        Its mount tells the sensor's height above the base's z = 0 plane, and turns nothing. A scan
        that was turned before is turned alike, even if later ones were turned since.
        """
        mount = self._usual_mount if scan.base_T_sensor is None else scan.base_T_sensor
        odom_R_base = scan.pose[:3, :3] @ mount[:3, :3].T
        self._remember(scan.stamp_ns, odom_R_base[:, 2])
        rotation, place = mount[:3, :3], mount[:3, 3]
        up = self._mean_axis(scan.stamp_ns)
        if up is not None:
            tilt = rotation_between(odom_R_base.T @ up, _UP)
            rotation, place = tilt @ rotation, tilt @ place
        level = make_transform(np.eye(3), place)
        points = turned(scan.points, rotation)
        if points is scan.points:
            return replace(scan, base_T_sensor=level)
        pose = scan.pose @ make_transform(rotation.T, np.zeros(3))
        return replace(scan, points=points, pose=pose, base_T_sensor=level)

    def reset(self) -> None:
        """Forget all scans."""
        self._axes.clear()

    def _remember(self, stamp_ns: int, axis: Float64) -> None:
        self._axes.setdefault(stamp_ns, axis)
        # As long again: a scan that waits for later ones is turned after them.
        forgotten = max(self._axes) - 2 * _WINDOW_NS
        self._axes = {at: axis for at, axis in self._axes.items() if at >= forgotten}

    def _mean_axis(self, stamp_ns: int) -> Float64 | None:
        """Up as a unit vector (3,) in the odometry frame; None: the base does not sway."""
        seen = [self._axes[at] for at in self._axes if 0 <= stamp_ns - at <= _WINDOW_NS]
        own, mean = self._axes[stamp_ns], np.mean(seen, axis=0)
        mean /= np.linalg.norm(mean)
        sway = math.sqrt(np.mean(np.square(np.linalg.norm(np.array(seen) - mean, axis=1))))
        weight = (sway - STEADY_RAD) / (BOBBING_RAD - STEADY_RAD)
        if weight <= 0:
            return None
        up: Float64 = own + min(weight, 1.0) * (mean - own)
        return up / np.linalg.norm(up)
