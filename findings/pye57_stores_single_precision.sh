#!/usr/bin/env bash
# pye57 takes float64 points, gives float64 points back, and stores float32 between.
#
# Package: pye57 0.4.19
# Expected: E57, a format for surveying, keeps float64 coordinates; what is read is what was
#   written.
# Seen: cartesianX, Y and Z are stored in single precision without a word, and read as float64. At
#   the northing of a map grid, neighbouring values are half a metre apart: a wall of 1 cm steps
#   becomes three flat sheets. There is no option for double precision in write_scan_raw.
# Output seen:
#   (101 points in steps of 1 cm)
#   from        0 m: 101 different values read, largest error 0.000 m, float64
#   from   500000 m:  33 different values read, largest error 0.015 m, float64
#   from  5400000 m:   3 different values read, largest error 0.250 m, float64
#   with translation=5400000 m: largest error 0.000 m
# Why it matters: a map that was aggregated from LiDAR scans in UTM coordinates loses its detail
#   when it is exported, though every dtype on the way says float64. Subtract an offset before
#   writing, and give it as `translation`, which is stored in double precision and added when
#   reading.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pye57==0.4.19 numpy==2.2.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys

import numpy as np
import pye57


def read_back(values, **place):
    path = f"{sys.argv[1]}/map.e57"
    zeros = np.zeros(len(values))
    writer = pye57.E57(path, mode="w")
    writer.write_scan_raw({"cartesianX": values, "cartesianY": zeros, "cartesianZ": zeros}, **place)
    writer.close()
    reader = pye57.E57(path)
    x = reader.read_scan(0, ignore_missing_fields=True)["cartesianX"]
    reader.close()
    return x


steps = np.arange(101) * 0.01
error = {}
for start in (0, 500_000, 5_400_000):
    x = read_back(steps + start)
    error[start] = np.abs(x - steps - start).max()
    print(
        f"from {start:8d} m: {len(np.unique(x)):3d} different values read, "
        f"largest error {error[start]:.3f} m, {x.dtype}"
    )
    assert x.dtype == np.float64
moved = read_back(steps, translation=np.array([5_400_000.0, 0, 0]))
remedy = np.abs(moved - steps - 5_400_000).max()
print(f"with translation=5400000 m: largest error {remedy:.3f} m")
sys.exit(0 if error[0] < 1e-6 and error[5_400_000] > 0.2 and remedy < 1e-6 else 1)
PYTHON
