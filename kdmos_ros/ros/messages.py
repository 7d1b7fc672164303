"""ROS messages to and from the core's types."""

from __future__ import annotations

import array
from typing import Any

from sensor_msgs.msg import PointCloud2, PointField

from kdmos_ros.pointcloud.codec import PackedCloud

SECOND_NS = 1_000_000_000


def cloud_message(header: Any, cloud: PackedCloud) -> PointCloud2:
    """sensor_msgs/PointCloud2 with the given header."""
    message = PointCloud2()
    message.header = header
    message.height, message.width = cloud.height, cloud.width
    message.fields = [
        PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
        for f in cloud.fields
    ]
    message.is_bigendian = cloud.is_bigendian
    message.is_dense = cloud.is_dense
    message.point_step, message.row_step = cloud.point_step, cloud.row_step
    # The only type that the setter takes as it is; any other is checked byte by byte (a second
    # for a large cloud).
    data = array.array("B")
    data.frombytes(memoryview(cloud.data))  # type: ignore[arg-type]
    message.data = data
    return message
