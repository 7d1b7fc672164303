"""Small recorded drives for tests: a handful of points, a moving sensor, known poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, TF, typestore
from kdmos_ros.io.bag_messages import cloud_message, odometry_message, transform_message
from kdmos_ros.io.bag_writer import BagWriter

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
MOUNT = make_transform(np.eye(3), [0.5, 0.0, 1.8])


def stamp(index: int) -> int:
    return START_NS + index * STEP_NS


def pose(index: int) -> np.ndarray:
    """T_odom_base of a drive along x at 10 m/s."""
    return make_transform(np.eye(3), [float(index), 0.0, 0.0])


def points(index: int, n: int = 50) -> np.ndarray:
    return np.random.default_rng(index).uniform(-20, 20, (n, 3)).astype(np.float32)


def cloud(index: int, n: int = 50):
    xyz = points(index, n)
    columns = [(name, xyz[:, k]) for k, name in enumerate("xyz")]
    columns.append(("intensity", np.linspace(0, 1, n, dtype=np.float32)))
    return cloud_message(stamp(index), "lidar", columns)


def odometry(index: int):
    return odometry_message(stamp(index), "odom", "base_link", pose(index))


def write_drive(path: Path, n_scans: int = 5, n_points: int = 50, **options) -> Path:
    """A bag with /points, /odom and /tf_static."""
    with BagWriter(path, **options) as bag:
        bag.add_topic("/tf_static", TF, latched=True)
        bag.add_topic("/points", POINT_CLOUD)
        bag.add_topic("/odom", ODOMETRY)
        bag.write("/tf_static", START_NS, transform_message(START_NS, "base_link", "lidar", MOUNT))
        for i in range(n_scans):
            bag.write("/odom", stamp(i), odometry(i))
            bag.write("/points", stamp(i), cloud(i, n_points))
    return path


def drive_topics(n: int = 3) -> dict:
    """What `write_bag` makes such a drive of."""
    return {
        "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(n)]),
        "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(n)]),
        "/tf_static": (TF, [(START_NS, transform_message(0, "base_link", "lidar", MOUNT))]),
    }


def write_bag(
    path: Path,
    topics: dict[str, tuple[str, list]],
    storage: str = "MCAP",
    compression: str = "NONE",
) -> Path:
    """Any bag: {topic: (type, [(time, message), ...])}, written by the library alone."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage])
    writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(topic, msgtype, typestore=typestore())
            for topic, (msgtype, _) in topics.items()
        }
        rows = [(t, topic, m) for topic, (_, rows) in topics.items() for t, m in rows]
        for time, topic, message in sorted(rows, key=lambda row: row[0]):
            data = typestore().serialize_cdr(message, topics[topic][0])
            writer.write(connections[topic], time, data)
    return path
