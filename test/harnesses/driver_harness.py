"""Drives past walls and poles whose clouds have the layouts and times of real drivers.

Layouts and stamps are those of the drivers' sources: velodyne_driver and velodyne_pointcloud,
ouster-ros, HesaiLidar_ROS_2.0, rslidar_sdk, livox_ros_driver2, sick_scan_xd, seyond_ros_driver,
autoware_point_types.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from cloud_harness import CODES, LAYOUTS
from pipeline_harness import SECOND, Bench
from sweep_harness import PERIOD_S, course, scene, sweep

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pointcloud.layout import Field
from kdmos_ros.poses.extrinsics import FixedExtrinsics

WORLD = scene(3)
EPOCH_S = 1_700_000_000


def absolute(seconds, stamp_s):
    return stamp_s + seconds.astype(np.float64)


def nanoseconds(seconds, stamp_s):
    return np.round(seconds * 1e9)


# Row of the table: layout, field with the time and its values, place of the stamp, preset,
# greatest intensity.
DRIVERS = {
    "Velodyne": ("velodyne", "time", lambda s, _: s, 1.0, "velodyne", 255),
    "Velodyne, `timestamp_first_packet`": (
        "velodyne",
        "time",
        lambda s, _: s,
        0.0,
        "velodyne",
        255,
    ),
    "Ouster": ("ouster_organised", "t", nanoseconds, 0.0, "ouster", 255),
    "Hesai": ("hesai", "timestamp", absolute, 0.0, "hesai", 255),
    "RoboSense": ("robosense", "timestamp", absolute, 1.0, "robosense", 255),
    "RoboSense, `ts_first_point`": ("robosense", "timestamp", absolute, 0.0, "robosense", 255),
    "Livox": ("livox", "timestamp", lambda s, t: absolute(s, t) * 1e9, 0.0, "livox", 255),
    "Livox, older drivers": ("livox_avia", "", None, 0.0, "livox", 255),
    "Seyond": ("seyond", "timestamp", absolute, 0.0, "", 255),
    "SICK multiScan, picoScan": ("sick_multiscan", "t", nanoseconds, 0.0, "sick", 65535),
    "Autoware": ("autoware_xyzircaedt", "time_stamp", nanoseconds, 0.0, "autoware", 255),
    "Firing order, no time": ("kitti", "", None, 0.5, "", 1),
    "Ring after ring, no time (KITTI)": ("kitti", "", None, 0.5, "", 1),
    "Gazebo": ("gazebo", "", None, 0.5, "", 1),
}


def cloud(layout, values):
    """A message; what has no value is 0, and the first and last point have no return."""
    step, height, spec = LAYOUTS[layout]
    n = len(values["x"]) // height * height
    data = np.zeros((n, step), np.uint8)
    for name, kind, offset in spec:
        column = np.asarray(values.get(name, np.zeros(n)))[:n].astype(kind)
        data[:, offset : offset + column.itemsize] = column.view(np.uint8).reshape(n, -1)
    fields = [Field(name, offset, CODES[kind], 1) for name, kind, offset in spec]
    return SimpleNamespace(
        header=None, height=height, width=n // height, fields=fields, is_bigendian=False,
        point_step=step, row_step=step * (n // height), data=data.tobytes(), is_dense=False,
    )  # fmt: skip


def drive(name, options, sweeps=4):
    """The last scan given to the segmenter, what it should be, how it came, and the bench."""
    layout, field, times, stamp_at, _, full = DRIVERS[name]
    bench = Bench(
        FixedExtrinsics(make_transform(np.eye(3), [0, 0, 1.5])),
        **{"deskew": "auto", "max_points": 20_000, **options},
    )
    for time in np.arange(0.0, 4.0, 0.01):
        base = course(time) @ make_transform(np.eye(3), [0, 0, -1.5])
        bench.poses.add(round((EPOCH_S + time) * SECOND), base)
    for i in range(2, 2 + sweeps):
        time = i * PERIOD_S
        at_once = name == "Gazebo"
        came, seconds = sweep(WORLD, time, stamp_at=stamp_at, deskewed=at_once)
        right, _ = sweep(WORLD, time, stamp_at=stamp_at, deskewed=True)
        if name == "Livox, older drivers":  # looks here and there
            order = np.random.default_rng(i).permutation(len(came))
            came, right, seconds = came[order], right[order], seconds[order]
        if "Ring after ring" in name:
            order = np.argsort(np.arange(len(came)) % 16, kind="stable")
            came, right, seconds = came[order], right[order], seconds[order]
        shown = came.copy()
        shown[0], shown[-1] = np.nan, 0.0
        intensity = np.full(len(came), 0.4 * full)
        values = dict(zip("xyz", shown.T, strict=True))
        values |= dict.fromkeys(("intensity", "reflectivity", "i"), intensity)
        if field:
            values[field] = times(seconds, EPOCH_S + time)
        bench.process(EPOCH_S + time, cloud(layout, values))
    scan = bench.segmenter.scans[-1]
    kept = slice(1, len(scan.points) - 1)
    return scan.points[kept], right[kept], came[kept], scan, bench
