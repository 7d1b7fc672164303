#!/usr/bin/env python3
"""Draws a map before and after cleaning, from above: docs/offline_map.png.

    kdmos simulate drive --scene crossing --ego driving --movers yes --sensor os1_64 --seed 5 \\
        --rate 5 --duration 10
    kdmos label drive --offline --semantickitti labels
    scripts/draw_map.py drive --labels labels --out docs/offline_map.png
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from compare_dufomap import NoLabels, returns

from kdmos_ros.defaults import MAP_VOXEL_M
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.labels import STATIC, from_semantickitti
from kdmos_ros.mapping.static_map import StaticMap
from kdmos_ros.mapping.views import Views
from kdmos_ros.pipeline.replay import replay

HALF_WIDTH_M = 40.0


def grown(bag_path: Path, labels_path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points (V, 3) of the map of all returns, and of the static map."""
    labels = LabelFolder(labels_path)
    after = StaticMap(MAP_VOXEL_M, Views(folder / "after"))
    voxels: dict[tuple[int, ...], np.ndarray] = {}
    with open_bag(bag_path, BagOptions()) as bag:
        for one in replay(bag, NoLabels()):
            if one.scan is None:
                continue
            scan = one.scan
            found = from_semantickitti(labels.read(one.index, one.stamp_ns, one.n_points))
            after.add(scan, found)
            after.scans += 1
            rows = returns(scan)
            rows = rows[found[rows] >= STATIC]
            there = scan.points[rows] @ scan.pose[:3, :3].T + scan.pose[:3, 3]
            cells = np.floor(there / MAP_VOXEL_M).astype(int)
            voxels.update(zip(map(tuple, cells), there, strict=True))
    return np.array(list(voxels.values())), after.points().points


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="folder of NNNNNN.label files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            clouds = grown(args.bag, args.labels, Path(folder))
    except KdmosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    middle = np.median(clouds[1], axis=0)
    low, high = np.percentile(clouds[1][:, 2], (1, 99))
    figure, axes = plt.subplots(1, 2, figsize=(12, 6.2), facecolor="#10141c")
    for axis, cloud, title in zip(axes, clouds, ("all points", "static map"), strict=True):
        cloud = cloud[np.argsort(cloud[:, 2])]
        axis.scatter(*cloud[:, :2].T, c=cloud[:, 2], s=0.5, lw=0, cmap="turbo", vmin=low, vmax=high)
        axis.set_xlim(middle[0] - HALF_WIDTH_M, middle[0] + HALF_WIDTH_M)
        axis.set_ylim(middle[1] - HALF_WIDTH_M, middle[1] + HALF_WIDTH_M)
        axis.set_aspect("equal")
        axis.axis("off")
        axis.set_title(title, color="white")
    figure.subplots_adjust(0, 0, 1, 0.94, 0.01)
    figure.savefig(args.out, dpi=110, facecolor=figure.get_facecolor())
    print(f"{args.out}: {len(clouds[0])} points before, {len(clouds[1])} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
