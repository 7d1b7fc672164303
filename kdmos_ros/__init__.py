"""Moving-object segmentation of LiDAR scans: a ROS-free core, a ROS 2 node and tools."""

from pathlib import Path

from kdmos_ros.kernel_cache import drop_stale_kernels

__version__ = "0.2.0"

drop_stale_kernels(Path(__file__).parent)
