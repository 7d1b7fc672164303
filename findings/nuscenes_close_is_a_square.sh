#!/usr/bin/env bash
# nuscenes-devkit's radius is a square column, and its subsampling takes points twice.
#
# Package: nuscenes-devkit 1.2.0, numpy 1.26.4
# Expected: remove_close(radius) removes "points too close within a certain radius from origin";
#   subsample(ratio) keeps that share of the points.
# Seen: remove_close removes what is within the radius in x and in y: a square, of any height. What
#   is 20 m above or below goes, and so does what is 1.27 m away in a corner, for a radius of 1 m.
#   subsample draws with replacement: a ratio of 1 keeps 63 % of the points, many of them two or
#   three times.
# Output seen:
#   radius 1 m: point at ( 0.9,  0.9,  0.0), 1.27 m away: removed
#   radius 1 m: point at ( 0.5,  0.5, 20.0), 20.01 m away: removed
#   radius 1 m: point at ( 1.1,  0.0,  0.0), 1.10 m away: kept
#   subsample(1.0): 10000 points, 6334 different
#   subsample(0.5): 5000 points, 3973 different
# Why it matters: from_file_multisweep, which puts sweeps together, calls remove_close on every
#   sweep: a robot's own filter with a true radius feeds a network other points than it was trained
#   on, and ceilings and bridges above the sensor are not in the data. Doubled points count twice in
#   a voxel's features and in a metric over points.
#
# Exit status: 0 as described, 1 changed. Downloads some 150 MB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
# Of the devkit's dependencies, only what its point clouds import.
"$work/venv/bin/pip" install --quiet numpy==1.26.4 pyquaternion==0.9.9 matplotlib==3.10.9 \
    opencv-python-headless==4.11.0.86 scikit-learn==1.7.2 cachetools==6.2.1 tqdm==4.70.1
"$work/venv/bin/pip" install --quiet --no-deps nuscenes-devkit==1.2.0
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from nuscenes.utils.data_classes import LidarPointCloud

places = np.array([[0.9, 0.9, 0.0], [0.5, 0.5, 20.0], [1.1, 0.0, 0.0]])
kept = []
for place in places:
    cloud = LidarPointCloud(np.array([[*place, 1.0]], dtype=np.float32).T)
    cloud.remove_close(1.0)
    kept.append(cloud.nbr_points() == 1)
    print(
        f"radius 1 m: point at ({', '.join(f'{x:4.1f}' for x in place)}), "
        f"{np.linalg.norm(place):.2f} m away: {'kept' if kept[-1] else 'removed'}"
    )
np.random.seed(0)  # noqa: NPY002 - the one that the devkit draws from
different = {}
for ratio in (1.0, 0.5):
    cloud = LidarPointCloud(np.tile(np.arange(10000, dtype=np.float32), (4, 1)))
    cloud.subsample(ratio)
    different[ratio] = len(np.unique(cloud.points[0]))
    print(f"subsample({ratio}): {cloud.nbr_points()} points, {different[ratio]} different")
as_described = kept == [False, False, True] and different[1.0] < 7000 and different[0.5] < 4500
sys.exit(0 if as_described else 1)
PYTHON
