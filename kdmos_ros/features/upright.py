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
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.ground_tilt import ground_normal
from kdmos_ros.geometry.transforms import make_transform, rotation_between
from kdmos_ros.scan import Scan, turned

Float64 = npt.NDArray[np.float64]

WINDOW_S = 2.0
_WINDOW_NS = round(WINDOW_S * 1e9)
# Root mean square of the angle to the mean axis: up to the first the base's own axis counts, from
# the second on the mean. Cars stay below half a degree; 5 degrees of bobbing are 3.5.
STEADY_RAD, BOBBING_RAD = math.radians(2.0), math.radians(3.5)
START_S, LEANING_RAD = 0.45, math.radians(5.0)
_START_NS = round(START_S * 1e9)
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class _Axis:
    """What one scan tells of up: unit vectors (3,) in the odometry frame.

    Attributes:
        base: the base's z axis.
        up: the same, or the ground's normal, if it `leans`.
    """

    base: Float64
    up: Float64
    leans: bool


class Upright:
    """Turns the scans of one sensor. Causal: a scan is turned by itself and earlier ones.

    Args:
        base_T_sensor: (4, 4) mount of the sensor, for scans that do not know theirs.
    """

    def __init__(self, base_T_sensor: Float64) -> None:
        self._usual_mount = base_T_sensor
        self._axes: dict[int, _Axis] = {}  # by stamp

    def turn(self, scan: Scan) -> Scan:
        """The scan in the upright frame: its origin is the sensor, its x axis that of the base.

        Its mount tells the sensor's height above the base's z = 0 plane, and turns nothing. A scan
        that was turned before is turned alike, even if later ones were turned since.
        """
        mount = self._usual_mount if scan.base_T_sensor is None else scan.base_T_sensor
        odom_R_base = scan.pose[:3, :3] @ mount[:3, :3].T
        self._remember(scan, mount, odom_R_base)
        rotation, place = mount[:3, :3], mount[:3, 3]
        up = self._up(scan.stamp_ns)
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

    def _remember(self, scan: Scan, mount: Float64, odom_R_base: Float64) -> None:
        if scan.stamp_ns in self._axes:
            return
        base = odom_R_base[:, 2]
        axis = _Axis(base, base, False)
        if self._may_lean(scan.stamp_ns):
            normal = ground_normal(turned(scan.points, mount[:3, :3]))
            if normal is not None and normal[2] < math.cos(LEANING_RAD):
                axis = _Axis(base, odom_R_base @ normal, True)
        self._axes[scan.stamp_ns] = axis
        # As long again: a scan that waits for later ones is turned after them.
        forgotten = max(self._axes) - 2 * _WINDOW_NS
        self._axes = {at: known for at, known in self._axes.items() if at >= forgotten}

    def _may_lean(self, stamp_ns: int) -> bool:
        """Whether the ground must be asked: at the start, and after a scan that leans."""
        before = [at for at in self._axes if at < stamp_ns]
        if not before or stamp_ns - min(before) <= _START_NS:
            return True
        return self._axes[max(before)].leans

    def _up(self, stamp_ns: int) -> Float64 | None:
        """Up as a unit vector (3,) in the odometry frame; None: along the base's own axis."""
        own = self._axes[stamp_ns]
        seen = [self._axes[at] for at in self._axes if 0 <= stamp_ns - at <= _WINDOW_NS]
        bases = np.array([axis.base for axis in seen])
        sway = math.sqrt(np.mean(np.square(bases - _mean(bases)).sum(axis=1)))
        weight = (sway - STEADY_RAD) / (BOBBING_RAD - STEADY_RAD)
        if own.leans:
            weight = 1.0
        if weight <= 0:
            return None
        mean = _mean(np.array([axis.up for axis in seen]))
        up: Float64 = own.base + min(weight, 1.0) * (mean - own.base)
        return up / np.linalg.norm(up)


def _mean(directions: Float64) -> Float64:
    """The mean direction (3,) of unit vectors (N, 3)."""
    mean: Float64 = directions.mean(axis=0)
    return mean / np.linalg.norm(mean)
