"""ROS messages to and from the core's types."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import PointCloud2, PointField

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.pointcloud.codec import PackedCloud

SECOND_NS = 1_000_000_000


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def frame_of(name: str) -> str:
    """A frame id without the leading slash that some drivers still write (tf2 has none)."""
    return name.lstrip("/")


def pose_matrix(pose: Any) -> npt.NDArray[np.float64]:
    """geometry_msgs/Pose to a matrix (4, 4).

    Raises:
        ValueError: the quaternion is zero, or a number is not finite.
    """
    p, q = pose.position, pose.orientation
    return from_pose([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])


def transform_matrix(transform: Any) -> npt.NDArray[np.float64]:
    """geometry_msgs/Transform to a matrix (4, 4).

    Raises:
        ValueError: the quaternion is zero, or a number is not finite.
    """
    t, q = transform.translation, transform.rotation
    return from_pose([t.x, t.y, t.z], [q.x, q.y, q.z, q.w])


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
