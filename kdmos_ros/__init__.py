"""Moving-object segmentation of LiDAR scans: a ROS-free core, a ROS 2 node and tools."""

__version__ = "0.2.0"
