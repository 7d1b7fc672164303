"""Types of ROS messages without ROS: names, definitions, and clouds as PointCloud2."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kdmos_ros.io import ouster, velodyne
from kdmos_ros.pointcloud import livox
from kdmos_ros.pointcloud.codec import PackedCloud

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
CLOUDS = (POINT_CLOUD, *livox.CUSTOM_MESSAGES, velodyne.SCAN)
ODOMETRY = "nav_msgs/msg/Odometry"
TF = "tf2_msgs/msg/TFMessage"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


@lru_cache(maxsize=1)
def typestore() -> Any:
    """Message definitions of the common packages, tf2_msgs among them (rosbags typestore)."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    # The messages used here are the same from Humble on; a newer store adds nothing.
    store = get_typestore(Stores.ROS2_JAZZY)
    for package in livox.PACKAGES:  # sqlite3 before Iron carries no definitions
        store.register({
            **get_types_from_msg(livox.POINT_DEFINITION, f"{package}/msg/CustomPoint"),
            **get_types_from_msg(livox.MESSAGE_DEFINITION, f"{package}/msg/CustomMsg"),
        })  # fmt: skip
    store.register({
        **get_types_from_msg(velodyne.PACKET_DEFINITION, velodyne.PACKET),
        **get_types_from_msg(velodyne.SCAN_DEFINITION, velodyne.SCAN),
        **get_types_from_msg(ouster.PACKET_DEFINITION, ouster.PACKETS[0]),
    })  # fmt: skip
    return store


def livox_cloud(data: bytes | memoryview) -> Any:
    """The PointCloud2 of a serialised CustomMsg.

    Raises:
        ValueError: it is none.
    """
    stamp_ns, frame, cloud = livox.read_custom_message(data)
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    return packed_message(types["std_msgs/msg/Header"](stamp, frame), cloud)


def packed_message(header: Any, cloud: PackedCloud) -> Any:
    """A sensor_msgs/PointCloud2 of a header and the rest of it."""
    types = typestore().types
    field = types["sensor_msgs/msg/PointField"]
    return types[POINT_CLOUD](
        header,
        cloud.height,
        cloud.width,
        [field(f.name, f.offset, f.datatype, f.count) for f in cloud.fields],
        cloud.is_bigendian,
        cloud.point_step,
        cloud.row_step,
        cloud.data,
        cloud.is_dense,
    )
