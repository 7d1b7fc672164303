#!/usr/bin/env bash
# KISS-ICP's TUM trajectory keeps four decimals: stamps of 0.1 ms, and small turns become none.
#
# Package: kiss-icp 1.3.0
# Expected: the TUM file holds the poses that the run had, with stamps that find the clouds again.
# Seen: every column is written with four decimals. Nanoseconds are cut to 0.1 ms, quaternions are
#   not of length one any more, and a turn below 0.0057 degrees (0.1 mrad) is written as no turn.
#   The KITTI file and the .npy file of the same run keep everything, but have no stamps.
# Output seen:
#   stamp      1700000000.123456717  ->  1700000000.1235
#   turn       0.0050 degrees        ->  0.0000 degrees, 8.7 mm at 100 m
#   turn       30.0000 degrees       ->  29.9987 degrees
# Why it matters: a scan cannot be looked up by its stamp any more (a driver's stamp and this one
#   are up to 50 microseconds apart), and far points move by up to a centimetre, as much as the
#   noise of a good sensor. Take the poses of the .npy file and the stamps of the clouds.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kiss-icp==1.3.0 numpy==2.2.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
from kiss_icp.pipeline import OdometryPipeline

turns = np.radians([0.005, 30.0])
stamp = 1700000000.123456789
poses = np.tile(np.eye(4), (2, 1, 1))
for pose, turn in zip(poses, turns, strict=True):
    pose[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
OdometryPipeline.save_poses_tum_format(f"{sys.argv[1]}/run", poses, [stamp, stamp + 0.1])
OdometryPipeline.save_poses_kitti_format(f"{sys.argv[1]}/run", poses)

lines = Path(f"{sys.argv[1]}/run_tum.txt").read_text().splitlines()
written = np.array([line.split() for line in lines], dtype=float)
found = 2 * np.arctan2(written[:, 6], written[:, 7])  # about z
print(f"stamp      {stamp:.9f}  ->  {lines[0].split()[0]}")
print(
    f"turn       {np.degrees(turns[0]):.4f} degrees        ->  {np.degrees(found[0]):.4f} degrees,"
    f" {abs(turns[0] - found[0]) * 100 * 1e3:.1f} mm at 100 m"
)
print(f"turn       {np.degrees(turns[1]):.4f} degrees       ->  {np.degrees(found[1]):.4f} degrees")
kitti = np.loadtxt(f"{sys.argv[1]}/run_kitti.txt").reshape(-1, 3, 4)
as_described = (
    lines[0].split()[0] == "1700000000.1235"
    and found[0] == 0.0
    and abs(found[1] - turns[1]) > 1e-6
    and np.allclose(kitti, poses[:, :3], atol=1e-15, rtol=0)
)
sys.exit(0 if as_described else 1)
PYTHON
