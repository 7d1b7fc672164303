"""Makes PointCloud2 stand-ins with the byte layouts of real drivers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from kdmos_ros.pointcloud.layout import Field

CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}

# name: (point_step, height, [(field, numpy type, offset)]), as the drivers lay them out.
LAYOUTS: dict[str, tuple[int, int, list[tuple[str, str, int]]]] = {
    "plain_xyz": (12, 1, [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8)]),
    "kitti": (16, 1, [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 12)]),
    "velodyne": (
        22, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 12),
         ("ring", "u2", 16), ("time", "f4", 18)],
    ),
    "ouster_organised": (
        48, 4,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 16),
         ("t", "u4", 20), ("reflectivity", "u2", 24), ("ring", "u2", 26), ("ambient", "u2", 28),
         ("range", "u4", 32)],
    ),
    "hesai": (
        26, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 12),
         ("ring", "u2", 16), ("timestamp", "f8", 18)],
    ),
    "robosense": (
        32, 2,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 16),
         ("ring", "u2", 20), ("timestamp", "f8", 24)],
    ),
    "livox": (
        26, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 12),
         ("tag", "u1", 16), ("line", "u1", 17), ("timestamp", "f8", 18)],
    ),
    "seyond": (
        48, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("timestamp", "f8", 16),
         ("intensity", "f4", 24), ("flags", "u1", 28), ("elongation", "u1", 29),
         ("scan_id", "u2", 30), ("scan_idx", "u2", 32), ("is_2nd_return", "u1", 34)],
    ),
    "livox_avia": (
        18, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 12),
         ("tag", "u1", 16), ("line", "u1", 17)],
    ),
    "autoware_xyzirc": (
        16, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "u1", 12),
         ("return_type", "u1", 13), ("channel", "u2", 14)],
    ),
    "autoware_xyzircaedt": (
        32, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "u1", 12),
         ("return_type", "u1", 13), ("channel", "u2", 14), ("azimuth", "f4", 16),
         ("elevation", "f4", 20), ("distance", "f4", 24), ("time_stamp", "u4", 28)],
    ),
    "sick_multiscan": (
        44, 1,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("i", "f4", 12), ("range", "f4", 16),
         ("azimuth", "f4", 20), ("elevation", "f4", 24), ("t", "u4", 28), ("ts", "f4", 32),
         ("lidar_sec", "u4", 36), ("lidar_nsec", "u4", 40)],
    ),
    "gazebo": (
        32, 4,
        [("x", "f4", 0), ("y", "f4", 4), ("z", "f4", 8), ("intensity", "f4", 16),
         ("ring", "u2", 20)],
    ),
    "double_xyz": (24, 1, [("x", "f8", 0), ("y", "f8", 8), ("z", "f8", 16)]),
    "shuffled": (20, 1, [("z", "f4", 2), ("intensity", "u2", 0), ("x", "f4", 14), ("y", "f4", 8)]),
}  # fmt: skip


def make_cloud(
    layout: str = "kitti",
    width: int = 50,
    *,
    padding: int = 0,
    big_endian: bool = False,
    seed: int = 0,
    values: dict[str, Any] | None = None,
) -> tuple[SimpleNamespace, dict[str, np.ndarray]]:
    """A cloud and the values (N,) of its fields.

    Every byte, gaps and row padding included, is random before the fields are written, so that a
    reader of the wrong bytes sees garbage and a copier of too few bytes is found out.
    """
    step, height, spec = LAYOUTS[layout]
    rng = np.random.default_rng(seed)
    row_step = step * width + padding
    data = rng.integers(0, 256, height * row_step, dtype=np.uint8)
    truth = {}
    for name, kind, offset in spec:
        dtype = np.dtype(kind).newbyteorder(">" if big_endian else "<")
        if values and name in values:
            column = np.asarray(values[name]).astype(kind)
        elif kind[0] == "f":
            column = rng.uniform(-50, 50, height * width).astype(kind)
        else:
            high = min(np.iinfo(kind).max, 60_000)
            column = rng.integers(0, high, height * width).astype(kind)
        if data.size:
            view = np.ndarray((height, width), dtype, data, offset, (row_step, step))
            view[...] = column.reshape(height, width)
        truth[name] = column
    message = SimpleNamespace(
        header=None,
        height=height,
        width=width,
        fields=[Field(name, offset, CODES[kind], 1) for name, kind, offset in spec],
        is_bigendian=big_endian,
        point_step=step,
        row_step=row_step,
        data=data.tobytes(),
        is_dense=False,
    )
    return message, truth
