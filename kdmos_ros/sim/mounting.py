"""How a LiDAR sits on the robot: height and attitude."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.sim.odometry_noise import rotation
from kdmos_ros.sim.sensors import Sensor

Array = npt.NDArray[Any]
# From a lawn mower to a van.
_HEIGHTS = (0.3, 2.5)
# Nose down or up, degrees; on its side or upside down.
_PITCHES = (-90.0, 90.0)
_ROLLS = (90.0, -90.0, 180.0)


def mounted(
    sensor: Sensor,
    height_m: float | None = None,
    attitude_deg: tuple[float, float, float] | None = None,
) -> Sensor:
    """The same LiDAR at one height above the base's z = 0, or turned; None: as it was.

    Args:
        attitude_deg: roll, pitch, yaw on the base, about fixed axes.
    """
    if height_m is not None:
        sensor = replace(sensor, mount=(height_m, height_m), mount_usual=None)
    return sensor if attitude_deg is None else replace(sensor, attitude_deg=attitude_deg)


def mounted_anyhow(
    sensor: Sensor, rng: np.random.Generator, any_height: float, leaning: float
) -> Sensor:
    """The same LiDAR on a robot of another size, or in another attitude.

    Args:
        any_height: chance that it sits anywhere from 0.3 to 2.5 m, low as often as high.
        leaning: chance that it is pitched by up to 90 degrees, on its side or upside down.
    """
    if rng.random() < any_height:
        low, high = np.log(_HEIGHTS)
        sensor = mounted(sensor, height_m=float(np.exp(rng.uniform(low, high))))
    if rng.random() < leaning:
        roll = float(rng.choice(_ROLLS)) if rng.random() < 0.3 else 0.0
        pitch = float(rng.uniform(*_PITCHES)) if roll == 0 else 0.0
        sensor = mounted(sensor, attitude_deg=(roll, pitch, 0.0))
    return sensor


def draw_mount(rng: np.random.Generator, sensor: Sensor) -> npt.NDArray[np.float64]:
    """T_base_sensor (4, 4) of one specimen: some of them are a little askew."""
    height = float(rng.uniform(*sensor.mount))
    if sensor.mount_usual is not None and rng.random() < 0.5:
        height = sensor.mount_usual
    tilt = rotation(np.deg2rad(rng.normal(0, 0.8, 3)) if rng.random() < 0.5 else np.zeros(3))
    if any(sensor.attitude_deg):
        attitude = parse_transform([0, 0, 0, *np.deg2rad(sensor.attitude_deg)])
        assert attitude is not None
        tilt = tilt @ attitude[:3, :3]
    return make_transform(tilt, [0.0, 0.0, height])
