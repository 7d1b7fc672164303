"""LiDAR world simulator: seeded scenes, ray casting, labels, noisy odometry. No ROS."""

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim.drive import Drive, SimFrame, make_drive
from kdmos_ros.sim.sensors import SENSORS, Sensor

__all__ = ["SENSORS", "Drive", "Kind", "Sensor", "SimFrame", "make_drive"]
