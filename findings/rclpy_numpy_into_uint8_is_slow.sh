#!/usr/bin/env bash
# Filling PointCloud2.data with a numpy array costs a thousand times what bytes cost.
#
# Package: ros-sensor-msgs 5.3.6 (Jazzy), numpy 2.2.6
# Expected: `cloud.data = points.view(np.uint8).ravel()` copies a buffer, as bytes do: under a
#   millisecond for a scan of 5 MB.
# Seen: the setter of a uint8[] field walks through a numpy array or a memoryview number by number,
#   as Python objects. bytes and array.array('B') are copied at once.
# Output seen:
#   bytes             1 times (0.3 ms)
#   array.array       1 times (0.3 ms)
#   memoryview      985 times (330.5 ms)
#   numpy array    1974 times (662.6 ms)
# Why it matters: 0.7 s for one scan of 5 MB, in Python's lock, is more than the whole period of a
#   LiDAR at 10 Hz. It shows as a node that cannot keep up, not as an error. Give the setter
#   `array.tobytes()`, or an array.array filled by frombytes.
#
# Exit status: 0 as described, 1 changed. Ratios are asserted, with a wide margin; no times are.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
unset LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
"$work/venv/bin/pip" install --quiet \
    'ros-rclpy[fastrtps]==7.1.6' ros-sensor-msgs==5.3.6 numpy==2.2.6
"$work/venv/bin/python" - <<'PYTHON'
import array
import sys
import time

import numpy as np
from sensor_msgs.msg import PointCloud2

points = np.random.default_rng(0).integers(0, 256, 5_000_000, dtype=np.uint8)
raw = points.tobytes()
values = {
    "bytes": raw,
    "array.array": array.array("B", raw),
    "memoryview": memoryview(raw),
    "numpy array": points,
}


def seconds(value):
    best = float("inf")
    for _ in range(5):
        cloud = PointCloud2()
        begin = time.perf_counter()
        cloud.data = value
        best = min(best, time.perf_counter() - begin)
        assert type(cloud.data) is array.array and cloud.data.tobytes() == raw
    return best


took = {name: seconds(value) for name, value in values.items()}
ratio = {name: took[name] / took["bytes"] for name in took}
for name, times in ratio.items():
    print(f"{name:12} {times:6.0f} times ({took[name] * 1e3:.1f} ms)")
slow = min(ratio["numpy array"], ratio["memoryview"])
sys.exit(0 if slow > 30 and ratio["array.array"] < 10 else 1)
PYTHON
