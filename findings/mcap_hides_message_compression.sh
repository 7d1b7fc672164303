#!/usr/bin/env bash
# An MCAP file of compressed messages says in no place that they are: readers decode rubbish.
#
# Package: mcap 1.6.0, mcap-ros2-support 0.6.0, rosbags 0.11.9 (which writes the bag here)
# Expected: MCAP files describe themselves; a reader decodes them or says that it cannot.
# Seen: with compression_mode "message" (ros2 bag record --compression-mode message), each message
#   is a zstd frame, while its channel still says "cdr". Only metadata.yaml beside the file knows.
#   The decoder takes the frame for CDR and fails with an error about UTF-8, or worse, does not
#   fail: a message of numbers alone is decoded to other numbers.
# Output seen:
#   channel says cdr, chunk says no compression, message begins with 28 b5 2f fd (zstd)
#   rosbags, with metadata.yaml:    frame_id lidar, 1000 points
#   mcap-ros2-support, PointCloud2: UnicodeDecodeError
#   mcap-ros2-support, Time:        1700000000 s -> 6360096 s, no error
# Why it matters: clouds are what one compresses. A drive that plays in ROS looks broken in every
#   tool that reads the .mcap file alone. Record with compression of MCAP itself (a storage preset,
#   or compression_mode "storage" in rosbags): all readers understand it.
# Issue: https://github.com/ros2/rosbag2/issues/1533 (the same of files that rosbag2 wrote)
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
    rosbags==0.11.9 mcap==1.6.0 mcap-ros2-support==0.6.0 numpy==2.2.6
"$work/venv/bin/python" - "$work/drive" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
from mcap.reader import make_reader
from mcap_ros2.reader import read_ros2_messages
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

store = get_typestore(Stores.ROS2_JAZZY)
CLOUD, TIME = "sensor_msgs/msg/PointCloud2", "builtin_interfaces/msg/Time"
Header, Time, Field, Cloud = (
    store.types[name] for name in ("std_msgs/msg/Header", TIME, "sensor_msgs/msg/PointField", CLOUD)
)
points = np.zeros((1000, 3), np.float32)
points[:, 0] = np.arange(1000)
stamp = Time(1_700_000_000, 5)
cloud = Cloud(
    header=Header(stamp=stamp, frame_id="lidar"),
    height=1,
    width=1000,
    fields=[Field(name, 4 * i, 7, 1) for i, name in enumerate("xyz")],
    is_bigendian=False,
    point_step=12,
    row_step=12000,
    data=points.view(np.uint8).ravel(),
    is_dense=True,
)
bag = Path(sys.argv[1])
writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
with writer:
    for topic, name, message in (("/points", CLOUD, cloud), ("/clock", TIME, stamp)):
        connection = writer.add_connection(topic, name, typestore=store)
        writer.write(connection, 10**9, store.serialize_cdr(message, name))

path = next(bag.glob("*.mcap"))
with path.open("rb") as stream:
    reader = make_reader(stream)
    chunks = {chunk.compression or "no compression" for chunk in reader.get_summary().chunk_indexes}
    _, channel, record = next(iter(reader.iter_messages(topics=["/points"])))
magic = record.data[:4]
print(
    f"channel says {channel.message_encoding}, chunk says {', '.join(chunks)},",
    f"message begins with {magic.hex(' ')} (zstd)",
)
with AnyReader([bag]) as reader:
    connections = [c for c in reader.connections if c.topic == "/points"]
    connection, _, raw = next(reader.messages(connections))
    read = reader.deserialize(raw, connection.msgtype)
print(f"rosbags, with metadata.yaml:    frame_id {read.header.frame_id}, {read.width} points")
try:
    next(iter(read_ros2_messages(path, topics=["/points"])))
    error = "no error"
except Exception as failure:  # whichever it is
    error = type(failure).__name__
print(f"mcap-ros2-support, PointCloud2: {error}")
clock = next(iter(read_ros2_messages(path, topics=["/clock"]))).ros_msg
print(f"mcap-ros2-support, Time:        {stamp.sec} s -> {clock.sec} s, no error")
as_described = (
    channel.message_encoding == "cdr"
    and magic.hex() == "28b52ffd"
    and read.width == 1000
    and error != "no error"
    and clock.sec != stamp.sec
)
sys.exit(0 if as_described else 1)
PYTHON
