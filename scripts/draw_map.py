#!/usr/bin/env python3
"""Draws a map before and after cleaning, from above: docs/offline_map.png.

    kdmos simulate drive --scene crossing --ego driving --movers yes --sensor os1_64 --seed 5 \\
        --rate 5 --duration 10
    kdmos label drive --offline --semantickitti labels
    scripts/draw_map.py drive --labels labels --out docs/offline_map.png
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from compare_dufomap import NoLabels, returns
from PIL import Image

from kdmos_ros.defaults import MAP_VOXEL_M
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.labels import MOVING, STATIC, from_semantickitti
from kdmos_ros.mapping.static_map import StaticMap
from kdmos_ros.mapping.views import Views
from kdmos_ros.pipeline.replay import replay

HALF_WIDTH_M = 40.0
BACKGROUND, RED = "#10141c", "#ff3030"
COLOURS = 48  # of the picture: few, so that it is small


def grown(bag_path: Path, labels_path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray, Any]:
    """The map of all returns, points (V, 3) and whether something moved there (V,); the static map.

    Args:
        folder: for the views that the static map needs.
    """
    labels = LabelFolder(labels_path)
    after = StaticMap(MAP_VOXEL_M, Views(folder / "after"))
    points, moves = [], []
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
            points.append(scan.points[rows] @ scan.pose[:3, :3].T + scan.pose[:3, 3])
            moves.append(found[rows] == MOVING)
    before, moving = np.concatenate(points), np.concatenate(moves)
    cells = np.floor(before / MAP_VOXEL_M).astype(np.int64)
    cells -= cells.min(axis=0)
    number = np.ravel_multi_index(cells.T, cells.max(axis=0) + 1)
    _, first, voxel = np.unique(number, return_index=True, return_inverse=True)
    return before[first], np.bincount(voxel, moving) > 0, after.points().points


def draw(axis: Any, cloud: np.ndarray, title: str, scale: np.ndarray, middle: np.ndarray) -> None:
    """A map from above, its highest points on top; scale: heights of the first and last colour."""
    cloud = cloud[np.argsort(cloud[:, 2])]
    low, high = scale
    axis.scatter(*cloud[:, :2].T, c=cloud[:, 2], s=0.4, lw=0, cmap="viridis", vmin=low, vmax=high)
    axis.set_xlim(middle[0] - HALF_WIDTH_M, middle[0] + HALF_WIDTH_M)
    axis.set_ylim(middle[1] - HALF_WIDTH_M, middle[1] + HALF_WIDTH_M)
    axis.set_aspect("equal")
    axis.axis("off")
    axis.set_title(title, color="white")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="folder of NNNNNN.label files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            before, moves, after = grown(args.bag, args.labels, Path(folder))
    except KdmosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    middle, scale = np.median(after, axis=0), np.percentile(after[:, 2], (2, 98))
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.8), facecolor=BACKGROUND)
    draw(axes[0], before, "all points; where something moved in red", scale, middle)
    axes[0].scatter(*before[moves, :2].T, c=RED, s=0.6, lw=0)
    draw(axes[1], after, "static map", scale, middle)
    figure.subplots_adjust(0, 0, 1, 0.94, 0.01)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100, facecolor=figure.get_facecolor())
    with new_file(args.out) as scratch:
        Image.open(drawn).convert("RGB").quantize(COLOURS).save(scratch, optimize=True)
    print(f"{args.out}: {len(before)} points before, {len(after)} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
