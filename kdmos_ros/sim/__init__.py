"""LiDAR world simulator: seeded scenes, ray casting, labels, noisy odometry. No ROS."""

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim.drive import AT_ONCE, DISTORTED, Drive, SimFrame, SweepTiming, make_drive
from kdmos_ros.sim.sensors import SENSORS, Sensor

__all__ = [
    "AT_ONCE",
    "DISTORTED",
    "SENSORS",
    "Drive",
    "Kind",
    "Sensor",
    "SimFrame",
    "SweepTiming",
    "make_drive",
]
