"""Livox's own message, CustomMsg, as a cloud with the fields of the driver's PointCloud2.

Definitions: livox_ros_driver2 and livox_ros_driver (ROS 2), package `msg`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from kdmos_ros.pointcloud.codec import PackedCloud
from kdmos_ros.pointcloud.layout import FLOAT32, FLOAT64, UINT8, Field

PACKAGES = ("livox_ros_driver2", "livox_ros_driver", "livox_interfaces")
CUSTOM_MESSAGES = tuple(f"{package}/msg/CustomMsg" for package in PACKAGES)
POINT_DEFINITION = """\
uint32 offset_time
float32 x
float32 y
float32 z
uint8 reflectivity
uint8 tag
uint8 line
"""
MESSAGE_DEFINITION = """\
std_msgs/Header header
uint64 timebase
uint32 point_num
uint8 lidar_id
uint8[3] rsvd
CustomPoint[] points
"""

_POINT_SIZE, _POINT_STEP = 19, 20  # each starts at a multiple of four bytes
_FIELDS = (
    Field("x", 0, FLOAT32, 1),
    Field("y", 4, FLOAT32, 1),
    Field("z", 8, FLOAT32, 1),
    Field("intensity", 12, UINT8, 1),
    Field("tag", 13, UINT8, 1),
    Field("line", 14, UINT8, 1),
    Field("timestamp", 16, FLOAT64, 1),
)
_OUT = np.dtype({
    "names": ["xyz", "bytes", "timestamp"],
    "formats": [("<f4", 3), ("u1", 3), "<f8"],
    "offsets": [0, 12, 16],
    "itemsize": 24,
})  # fmt: skip


class LivoxCloud(NamedTuple):
    """Stamp (ns), frame and points of a CustomMsg.

    Fields of the cloud: x, y, z (m), intensity (uint8, 0..255), tag, line, and timestamp (ns on
    the clock of the stamp: the stamp plus the point's offset).
    """

    stamp_ns: int
    frame: str
    cloud: PackedCloud


def has_known_points(definition: str) -> bool:
    """Whether a definition of CustomMsg, as MCAP carries it, has the points that are read here."""
    _, found, point = definition.partition("CustomPoint\n")
    lines = (line.partition("#")[0].split() for line in point.partition("===")[0].splitlines())
    kinds = [words[0] for words in lines if words]
    return not found or kinds == [line.split()[0] for line in POINT_DEFINITION.splitlines()]


def read_custom_message(data: bytes | memoryview) -> LivoxCloud:
    """Read a serialised CustomMsg (CDR).

    Raises:
        ValueError: it is none, or cut off.
    """
    data = bytes(data)
    order = "<" if data[1:2] == b"\x01" else ">"
    try:
        sec, nanosec, length = struct.unpack_from(f"{order}iII", data, 4)
        frame = data[16 : 16 + length].rstrip(b"\0").decode()
        # After the text: timebase at a multiple of 8 behind the 4 bytes of the encapsulation.
        at = 4 + -(-(12 + length) // 8) * 8
        _, _, n_points = struct.unpack_from(f"{order}QI4xI", data, at)
    except struct.error as error:
        raise ValueError(f"a CustomMsg of {len(data)} bytes: {error}") from None
    at += 20
    if len(data) < at + (n_points - 1) * _POINT_STEP + _POINT_SIZE and n_points:
        raise ValueError(f"a CustomMsg of {n_points} points in {len(data)} bytes")
    stamp_ns = sec * 1_000_000_000 + nanosec
    return LivoxCloud(stamp_ns, frame, _packed(data, at, n_points, order, stamp_ns))


def _packed(data: bytes, at: int, n_points: int, order: str, stamp_ns: int) -> PackedCloud:
    source = np.dtype({
        "names": ["offset", "xyz", "bytes"],
        "formats": [f"{order}u4", (f"{order}f4", 3), ("u1", 3)],
        "offsets": [0, 4, 16],
        "itemsize": _POINT_STEP,
    })  # fmt: skip
    block = data[at : at + n_points * _POINT_STEP].ljust(n_points * _POINT_STEP, b"\0")
    rows = np.frombuffer(block, source, n_points)
    out = np.zeros(n_points, _OUT)
    out["xyz"], out["bytes"] = rows["xyz"], rows["bytes"]
    out["timestamp"] = stamp_ns + rows["offset"].astype(np.float64)
    size = _OUT.itemsize
    raw = out.view(np.uint8).reshape(-1)
    return PackedCloud(_FIELDS, 1, n_points, size, size * n_points, False, True, raw)
