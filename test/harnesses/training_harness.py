"""Small labelled drives on disk for tests of training: random points, a moving sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.io.drive_file import LabelledDrive, save_drive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.scan import Scan
from kdmos_ros.train.data.training_drives import StoredDrive


def make_drive(seed: int, scans: int = 4, points: int = 300) -> LabelledDrive:
    """Points around a sensor 1.7 m above a base that drives along x at 5 m/s, five scans a second.

    Every scan has some points more than the one before.
    """
    rng = np.random.default_rng(seed)
    made = []
    for i in range(scans):
        n = points + i
        xyz = (rng.uniform(-1, 1, (n, 3)) * [30, 30, 2]).astype(np.float32)
        pose = from_pose([i, 0, 0.01 * i], [0, 0, 0.01 * i, 1])
        scan = Scan(xyz, rng.uniform(0, 1, n).astype(np.float32), 200_000_000 * i, pose)
        labels = rng.integers(0, 4, n).astype(np.uint8)
        made.append(LabelledScan(scan, labels, rng.integers(0, 9, n).astype(np.uint8)))
    return LabelledDrive(made, from_pose([0, 0, 1.7], [0, 0.01, 0, 1]), "hdl64e")


def write_drives(folder: Path, n: int = 2, scans: int = 4, points: int = 300) -> list[StoredDrive]:
    """Files of `make_drive`, seeds 0 to n - 1."""
    paths = [folder / f"drive_{i:07d}.npz" for i in range(n)]
    for i, path in enumerate(paths):
        save_drive(make_drive(i, scans, points), path)
    return [StoredDrive(path) for path in paths]
