#!/usr/bin/env bash
# laspy rounds points to centimetres, by `.xyz` even where the header asks for 0.1 mm.
#
# Package: laspy 2.7.0
# Expected: points that are assigned to a new LAS file keep the millimetres of a LiDAR, at least
#   once header.scales says so; intensities that do not fit are refused.
# Seen: laspy.create() has scales of 0.01 m. After header.scales = 0.0001, `las.x = ...` keeps 0.1
#   mm, but `las.xyz = ...` still rounds to centimetres, and the file that is written claims 0.0001.
#   Intensity is uint16: a reflectivity of 0 to 1, as in KITTI, becomes 0 throughout, and numbers
#   outside the range wrap round. There is no warning in any of these cases.
# Output seen:
#   x, as created                1.2345 1.2385 1.2425  ->  1.23 1.24 1.24   file says 0.01
#   xyz, header.scales 0.0001    1.2345 1.2385 1.2425  ->  1.23 1.24 1.24   file says 0.0001
#   x, header.scales 0.0001      1.2345 1.2385 1.2425  ->  1.2345 1.2385 1.2425   file says 0.0001
#   xyz, change_scaling(0.0001)  1.2345 1.2385 1.2425  ->  1.2345 1.2385 1.2425   file says 0.0001
#   intensity                    0.1 0.55 0.99  ->  0 0 0
#   intensity                    65535 65536 70000  ->  65535 0 4464
# Why it matters: labelled scans that are exported for a viewer or a labelling tool come back moved
#   by up to 5 mm an axis and without intensity, and no longer match their originals. Call
#   change_scaling() on the new file, and scale the intensity yourself.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet laspy==2.7.0 numpy==2.2.6
"$work/venv/bin/python" -W error - "$work/scan.las" <<'PYTHON'
import sys

import laspy
import numpy as np

FINE = np.array([0.0001] * 3)
x = np.array([1.2345, 1.2385, 1.2425])


def read_back(las):
    las.write(sys.argv[1])
    return laspy.read(sys.argv[1])


def coordinates(name, prepare, assign):
    las = laspy.create()
    prepare(las)
    assign(las)
    read = read_back(las)
    found = np.asarray(read.x)
    print(f"{name:28}", *x, " -> ", *found.round(9), f"  file says {read.header.scales[0]}")
    return found


def intensities(values):
    las = laspy.create()
    las.intensity = np.array(values)
    found = np.asarray(read_back(las).intensity).tolist()
    print(f"{'intensity':28}", *values, " -> ", *found)
    return found


def by_x(las):
    las.x = x


def by_xyz(las):
    las.xyz = np.column_stack([x, x, x])


def by_header(las):
    las.header.scales = FINE


created = coordinates("x, as created", lambda las: None, by_x)
xyz = coordinates("xyz, header.scales 0.0001", by_header, by_xyz)
one_axis = coordinates("x, header.scales 0.0001", by_header, by_x)
remedy = coordinates(
    "xyz, change_scaling(0.0001)", lambda las: las.change_scaling(scales=FINE), by_xyz
)
centimetres = [1.23, 1.24, 1.24]
as_described = (
    np.allclose(created, centimetres, atol=1e-9)
    and np.allclose(xyz, centimetres, atol=1e-9)
    and np.allclose(one_axis, x, atol=1e-9)
    and np.allclose(remedy, x, atol=1e-9)
    and intensities([0.1, 0.55, 0.99]) == [0, 0, 0]
    and intensities([65535, 65536, 70000]) == [65535, 0, 4464]
)
sys.exit(0 if as_described else 1)
PYTHON
