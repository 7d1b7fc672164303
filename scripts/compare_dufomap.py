#!/usr/bin/env python3
"""Scores DUFOMap (Duberg et al., RA-L 2024) on a labelled bag as `kdmos eval --map-metrics` does.

    pip install 'kdmos_ros[dufomap]'
    scripts/compare_dufomap.py CLIP/bag --labels CLIP/labels [--json docs/dufomap/CLIP.json]

It sees all scans first, with its default settings (0.1 m, d_s 0.2, d_p 1), and then tells for each
point of each scan whether it is dynamic. Clouds, poses and deskewing are those of `kdmos eval`.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.labels import MOVING, STATIC, from_semantickitti
from kdmos_ros.mapping.static_map import MapScore
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation

RESOLUTION_M, D_S_M, D_P = 0.1, 0.2, 1


class NoLabels:
    """A segmenter that says nothing: only the scans are wanted."""

    def push(self, scan: Scan) -> Future[Segmentation]:
        """See ScanSegmenter."""
        answer: Future[Segmentation] = Future()
        answer.set_result(Segmentation.unlabelled(len(scan.points), scan.stamp_ns))
        return answer

    def flush(self) -> None:
        """See ScanSegmenter."""

    def reset(self) -> None:
        """See ScanSegmenter."""


def returns(scan: Scan) -> np.ndarray:
    """Rows that hold a return."""
    return np.flatnonzero(np.isfinite(scan.points).all(axis=1) & scan.points.any(axis=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="folder of NNNNNN.label files")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    try:
        from dufomap import dufomap
    except ModuleNotFoundError:
        print("skipped: dufomap is not installed (pip install 'kdmos_ros[dufomap]')")
        return 0
    try:
        with open_bag(args.bag, BagOptions()) as bag:
            replayed = [r for r in replay(bag, NoLabels()) if r.scan is not None]
        truths = LabelFolder(args.labels)
        world = dufomap(RESOLUTION_M, D_S_M, D_P, num_threads=0)
        for one in replayed:
            world.run(one.scan.points[returns(one.scan)], one.scan.pose, cloud_transform=True)
        world.oncePropagateCluster(if_propagate=True, if_cluster=False)
        counts = np.zeros(4, np.int64)
        for one in replayed:
            scan, rows = one.scan, returns(one.scan)
            truth = from_semantickitti(truths.read(one.index, one.stamp_ns, one.n_points))
            dynamic = np.zeros(len(truth), bool)
            dynamic[rows] = world.segment(scan.points[rows], scan.pose, cloud_transform=True) != 0
            static, moving = (truth != MOVING) & (truth >= STATIC), truth == MOVING
            counts += [
                static.sum(),
                moving.sum(),
                (static & ~dynamic).sum(),
                (moving & ~dynamic).sum(),
            ]
    except KdmosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"DUFOMap, {len(replayed)} scans")
    score = MapScore(*map(int, counts))
    print(score.to_text())
    if args.json:
        text = json.dumps({"map": score.figures(), "scans": len(replayed)}, indent=2)
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
