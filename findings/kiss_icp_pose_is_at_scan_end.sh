#!/usr/bin/env bash
# KISS-ICP's pose is that of the last point of a scan, whatever the stamp of the cloud says.
#
# Package: kiss-icp 1.3.0
# Expected: the pose of a scan belongs to header.stamp, as tf2 and everything that looks it up
#   assume; some drivers stamp the first point.
# Seen: deskewing moves every point to where it is seen from at the latest point time. A point of
#   that time stays where it is, one of the first time moves by the whole motion of a scan. Only the
#   order and the spread of the times count: seconds from zero, from the stamp or from 1970 give the
#   same.
# Output seen:
#   (1 m of motion a scan, all three points measured 10 m ahead)
#   times                        first   middle  last
#   0 to 0.1 s                    9.00    9.50   10.00
#   -0.1 to 0 s                   9.00    9.50   10.00
#   1.7e9 s and up                9.00    9.50   10.00
# Why it matters: with a cloud that is stamped at its first point, an odometry message that carries
#   the cloud's stamp is one scan late: 1 m at 10 m/s and 10 Hz. Clouds placed with it smear, and
#   what stands still seems to move.
# Issue: https://github.com/PRBonn/kiss-icp/issues/457
#   https://github.com/PRBonn/kiss-icp/pull/464
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kiss-icp==1.3.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from kiss_icp.config import load_config
from kiss_icp.preprocess import get_preprocessor

points = np.array([[10.0, 0.0, 0.0]] * 3)
motion = np.eye(4)
motion[0, 3] = 1.0  # of the sensor from one scan to the next, metres
relative = np.array([0.0, 0.05, 0.1])
cases = {
    "0 to 0.1 s": relative,
    "-0.1 to 0 s": relative - 0.1,
    "1.7e9 s and up": relative + 1.7e9,
}
as_described = True
print(f"{'times':28} first   middle  last")
for name, times in cases.items():
    moved = get_preprocessor(load_config(None)).preprocess(points, times, motion)
    print(f"{name:28} " + "   ".join(f"{x:5.2f}" for x in moved[:, 0]))
    as_described &= np.allclose(moved[:, 0], [9.0, 9.5, 10.0], atol=1e-4)
sys.exit(0 if as_described else 1)
PYTHON
