#!/usr/bin/env bash
# KISS-ICP's MCAP reader and mcap-ros2-support do not fit: every PointCloud2 is refused.
#
# Package: kiss-icp 1.3.0, mcap-ros2-support 0.6.0 (0.5.0, 0.5.3, 0.5.6 and 0.5.7 do the same)
# Expected: kiss_icp_pipeline --dataloader mcap reads a cloud with plain float32 x, y and z.
# Seen: ValueError: Unknown datatype code 7 for field {}. The reader looks for the constants of
#   PointField (FLOAT32 = 7) among vars() of a decoded field; the classes that mcap-ros2-support
#   makes have slots, so vars() is empty, and have no constants either.
# Output seen:
#   mcap-ros2-support  4 points, fields x 7, y 7, z 7
#   kiss-icp           ValueError: Unknown datatype code 7 for field {}
# Why it matters: the two are installed together to read a drive without ROS, and the message blames
#   the cloud. The reader of bag folders (--dataloader rosbag) takes the same file. Code that
#   handles messages of rclpy, rosbags and mcap alike can rely on attributes only: no vars(), no
#   constants.
# Issue: https://github.com/PRBonn/kiss-icp/pull/498
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kiss-icp==1.3.0 mcap-ros2-support==0.6.0 numpy==2.2.6
"$work/venv/bin/python" - "$work/drive.mcap" <<'PYTHON'
import sys

import numpy as np
from kiss_icp.datasets import dataset_factory
from mcap_ros2.reader import read_ros2_messages
from mcap_ros2.writer import Writer

BAR = "=" * 80
CODES = ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "FLOAT32", "FLOAT64")
CONSTANTS = "\n".join(f"uint8 {name}={code}" for code, name in enumerate(CODES, start=1))
DEFINITION = f"""std_msgs/Header header
uint32 height
uint32 width
sensor_msgs/PointField[] fields
bool is_bigendian
uint32 point_step
uint32 row_step
uint8[] data
bool is_dense
{BAR}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{BAR}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
{BAR}
MSG: sensor_msgs/PointField
{CONSTANTS}
string name
uint32 offset
uint8 datatype
uint32 count
"""
path = sys.argv[1]
points = np.arange(12, dtype=np.float32).reshape(4, 3)
writer = Writer(path)
schema = writer.register_msgdef("sensor_msgs/msg/PointCloud2", DEFINITION)
cloud = {
    "header": {"stamp": {"sec": 1, "nanosec": 0}, "frame_id": "lidar"},
    "height": 1,
    "width": 4,
    "fields": [
        {"name": name, "offset": 4 * i, "datatype": 7, "count": 1} for i, name in enumerate("xyz")
    ],
    "is_bigendian": False,
    "point_step": 12,
    "row_step": 48,
    "data": points.tobytes(),
    "is_dense": True,
}
writer.write_message("/points", schema, cloud, 10**9, 10**9)
writer.finish()

read = next(iter(read_ros2_messages(path))).ros_msg
assert read.data == points.tobytes()
print(
    f"mcap-ros2-support  {read.width} points, fields",
    ", ".join(f"{field.name} {field.datatype}" for field in read.fields),
)
drive = dataset_factory(dataloader="mcap", data_dir=path, topic="/points")
try:
    drive[0]
except ValueError as error:
    print("kiss-icp           ValueError:", error)
    sys.exit(0 if "Unknown datatype code 7" in str(error) else 1)
print("kiss-icp           reads it now")
sys.exit(1)
PYTHON
