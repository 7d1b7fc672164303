"""ROS messages made without ROS, from numpy arrays, for bags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import transforms
from kdmos_ros.io import velodyne
from kdmos_ros.io.message_types import ODOMETRY, POINT_CLOUD, TF, typestore
from kdmos_ros.poses.pose_messages import stamp_ns_of

SECOND_NS = 1_000_000_000
# sensor_msgs/PointField datatypes.
_DATATYPE_OF = {
    np.dtype(text): number
    for number, text in enumerate(("i1", "u1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8"), start=1)
}


def time_message(stamp_ns: int) -> Any:
    """builtin_interfaces/Time of nanoseconds."""
    seconds, nanoseconds = divmod(int(stamp_ns), SECOND_NS)
    return typestore().types["builtin_interfaces/msg/Time"](seconds, nanoseconds)


def header(stamp_ns: int, frame: str) -> Any:
    """std_msgs/Header."""
    return typestore().types["std_msgs/msg/Header"](time_message(stamp_ns), frame)


def cloud_message(stamp_ns: int, frame: str, fields: Sequence[tuple[str, npt.NDArray[Any]]]) -> Any:
    """PointCloud2 (one row, packed, little-endian) of named columns (N,) of one dtype each."""
    types = typestore().types
    columns = [(name, np.asarray(column)) for name, column in fields]
    packed = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns])
    rows = np.empty(len(columns[0][1]), packed)
    for name, column in columns:
        rows[name] = column
    point_fields = [
        types["sensor_msgs/msg/PointField"](name, *_placement(packed, name), 1)
        for name, _ in columns
    ]
    return types[POINT_CLOUD](
        header(stamp_ns, frame),
        1,
        len(rows),
        point_fields,
        False,
        packed.itemsize,
        packed.itemsize * len(rows),
        rows.view(np.uint8).reshape(-1),
        True,
    )


def velodyne_cloud(data: bytes | memoryview, sensor: str) -> Any:
    """The PointCloud2 of a serialised VelodyneScan; see `velodyne.decode_scan`."""
    scan = typestore().deserialize_cdr(data, velodyne.SCAN)
    stamp_ns = stamp_ns_of(scan.header)
    columns = velodyne.decode_scan(scan.packets, stamp_ns / SECOND_NS, sensor)
    return cloud_message(stamp_ns, scan.header.frame_id, columns)


def odometry_message(
    stamp_ns: int, odom_frame: str, base_frame: str, odom_T_base: npt.NDArray[np.float64]
) -> Any:
    """nav_msgs/Odometry with the pose only; covariances and twist are zero."""
    types = typestore().types
    translation, quaternion = (
        odom_T_base[:3, 3],
        transforms.matrix_to_quaternion(odom_T_base[:3, :3]),
    )
    pose = types["geometry_msgs/msg/Pose"](
        types["geometry_msgs/msg/Point"](*map(float, translation)),
        types["geometry_msgs/msg/Quaternion"](*map(float, quaternion)),
    )
    zero = types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    return types[ODOMETRY](
        header(stamp_ns, odom_frame),
        base_frame,
        types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
        types["geometry_msgs/msg/TwistWithCovariance"](
            types["geometry_msgs/msg/Twist"](zero, zero), np.zeros(36)
        ),
    )


def transform_message(
    stamp_ns: int, parent: str, child: str, parent_T_child: npt.NDArray[np.float64]
) -> Any:
    """tf2_msgs/TFMessage with one transform."""
    types = typestore().types
    quaternion = transforms.matrix_to_quaternion(parent_T_child[:3, :3])
    stamped = types["geometry_msgs/msg/TransformStamped"](
        header(stamp_ns, parent),
        child,
        types["geometry_msgs/msg/Transform"](
            types["geometry_msgs/msg/Vector3"](*map(float, parent_T_child[:3, 3])),
            types["geometry_msgs/msg/Quaternion"](*map(float, quaternion)),
        ),
    )
    return types[TF]([stamped])


def _placement(packed: np.dtype[Any], name: str) -> tuple[int, int]:
    """Offset and sensor_msgs/PointField datatype of a column."""
    assert packed.fields is not None
    dtype, offset = packed.fields[name][:2]
    return int(offset), _DATATYPE_OF[dtype]


def header_stamp(data: bytes | memoryview) -> int:
    """Stamp (ns) of a serialised message that begins with a header, without decoding the rest."""
    head = bytes(data[:12])
    order = _byte_order(head)
    seconds = int.from_bytes(head[4:8], order, signed=True)
    return seconds * SECOND_NS + int.from_bytes(head[8:12], order)


def restamped(data: bytes, shift_ns: int) -> bytes:
    """A serialised message that begins with a header, with a later stamp."""
    order = _byte_order(data)
    seconds, nanoseconds = divmod(header_stamp(data) + shift_ns, SECOND_NS)
    stamp = seconds.to_bytes(4, order, signed=True) + nanoseconds.to_bytes(4, order)
    return data[:4] + stamp + data[12:]


def _byte_order(data: bytes) -> Literal["little", "big"]:
    """Of a CDR message: the second byte says it; after four bytes come sec and nanosec."""
    return "little" if data[1] & 1 else "big"
