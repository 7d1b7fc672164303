"""Clouds of real drivers, packed by hand byte by byte, all the way to the labelled cloud.

Layouts: velodyne_pointcloud XYZIRT, ouster-ros `Point`, HesaiLidar_ROS_2.0, rslidar_sdk XYZIRT,
livox_ros_driver(2), autoware_point_types.
"""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from logger_harness import Logger

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.codec import append_label, subset
from kdmos_ros.pointcloud.layout import Field
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.pose_source import BufferedPoses
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.throttled_log import ThrottledLog

STAMP_NS = 1_700_000_000_000_000_000
F32, F64, U8, U16, U32 = 7, 8, 2, 4, 6
XYZ = [("x", 0, F32), ("y", 4, F32), ("z", 8, F32)]
NAN = float("nan")
# Two returns, and between them what drivers write where there was none.
POINTS = [(8.0, 1.0, -1.0), (NAN, NAN, NAN), (0.0, 0.0, 0.0), (-9.0, 2.5, -1.25)]

# name: (struct format of a point, its values after x y z, fields after x y z, height)
DRIVERS = {
    "xyz": ("<fff", lambda i: (), [], 1),
    "velodyne": (
        "<ffffHf", lambda i: (100.0, 15, 0.01 * i),
        [("intensity", 12, F32), ("ring", 16, U16), ("time", 18, F32)], 1,
    ),
    "ouster": (
        "<fff4xfIHHH2xI12x", lambda i: (812.0, 1000 * i, 33, 63, 400, 8100),
        [("intensity", 16, F32), ("t", 20, U32), ("reflectivity", 24, U16), ("ring", 26, U16),
         ("ambient", 28, U16), ("range", 32, U32)], 2,
    ),
    "hesai": (
        "<ffffHd", lambda i: (17.0, 3, 1.7e9 + 0.01 * i),
        [("intensity", 12, F32), ("ring", 16, U16), ("timestamp", 18, F64)], 1,
    ),
    "robosense": (
        "<ffffHd", lambda i: (17.0, 3, 1.7e9 + 0.01 * i),
        [("intensity", 12, F32), ("ring", 16, U16), ("timestamp", 18, F64)], 2,
    ),
    "livox_mid360": (
        "<ffffBBd", lambda i: (60.0, 16, 2, 1.7e18 + 1e7 * i),
        [("intensity", 12, F32), ("tag", 16, U8), ("line", 17, U8), ("timestamp", 18, F64)], 1,
    ),
    "livox_avia": (
        "<ffffBB", lambda i: (60.0, 16, 5),
        [("intensity", 12, F32), ("tag", 16, U8), ("line", 17, U8)], 1,
    ),
    "autoware_xyzirc": (
        "<fffBBH", lambda i: (90, 1, 17),
        [("intensity", 12, U8), ("return_type", 13, U8), ("channel", 14, U16)], 1,
    ),
    "autoware_xyzircaedt": (
        "<fffBBHfffI", lambda i: (90, 1, 17, 0.1, -0.2, 8.1, 1000 * i),
        [("intensity", 12, U8), ("return_type", 13, U8), ("channel", 14, U16),
         ("azimuth", 16, F32), ("elevation", 20, F32), ("distance", 24, F32),
         ("time_stamp", 28, U32)], 1,
    ),
}  # fmt: skip
# Bytes of a point as the drivers declare them.
STEPS = {
    "xyz": 12, "velodyne": 22, "ouster": 48, "hesai": 26, "robosense": 26, "livox_mid360": 26,
    "livox_avia": 18, "autoware_xyzirc": 16, "autoware_xyzircaedt": 32,
}  # fmt: skip


def packed_rows(name):
    form, rest, _, _ = DRIVERS[name]
    return [struct.pack(form, *xyz, *rest(i)) for i, xyz in enumerate(POINTS)]


def message_of(name):
    form, _, fields, height = DRIVERS[name]
    step = struct.calcsize(form)
    width = len(POINTS) // height
    return SimpleNamespace(
        header=None, height=height, width=width, point_step=step, row_step=step * width,
        fields=[Field(n, offset, kind, 1) for n, offset, kind in [*XYZ, *fields]],
        is_bigendian=False, is_dense=False, data=b"".join(packed_rows(name)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def segmenter(tiny_model):
    return Segmenter(tiny_model, provider="cpu", num_threads=1)


@pytest.mark.parametrize("name", DRIVERS)
def test_labelled_cloud_byte_for_byte(name, segmenter):
    message = message_of(name)
    assert message.point_step == STEPS[name]
    poses = PoseBuffer()
    poses.add(STAMP_NS, np.eye(4))
    segmenter.reset()
    pipeline = CloudPipeline(
        OnlineSegmenter(segmenter), BufferedPoses(poses, "base_link"),
        FixedExtrinsics(make_transform(np.eye(3), [0, 0, 1.5])),
        {"pose_timeout": 0.0, **CLOUD_OPTIONS}, Statistics(), ThrottledLog(Logger()),
    )  # fmt: skip
    result = pipeline.process(message, STAMP_NS, "lidar").labelled()
    labels, probability = result.labels, result.moving_probability
    assert labels[[1, 2]].tolist() == [0, 0]
    assert probability[[1, 2]].tolist() == [0, 0]
    assert (labels[[0, 3]] > 0).all()

    out = append_label(message, labels, probability)
    gap = b"\0\0\0" if message.point_step % 4 == 0 else b""
    expected = [
        row + struct.pack("<B", label) + gap + struct.pack("<f", p)
        for row, label, p in zip(packed_rows(name), labels, probability, strict=True)
    ]
    assert out.data.tobytes() == b"".join(expected)
    assert out.point_step == message.point_step + 5 + len(gap)
    assert (out.height, out.width) == (message.height, message.width)
    assert list(out.fields[: len(message.fields)]) == message.fields
    assert [(f.name, f.offset, f.datatype) for f in out.fields[-2:]] == [
        ("label", message.point_step, U8),
        ("moving_probability", message.point_step + 1 + len(gap), F32),
    ]
    rows = packed_rows(name)
    assert subset(message, labels > 0).data.tobytes() == rows[0] + rows[3]
