#!/usr/bin/env python3
"""LiDAR odometry (KISS-ICP) with and without moving points: how far each drifts in one second.

    kdmos label BAG --offline --semantickitti LABELS
    scripts/odometry_without_moving.py BAG --labels LABELS

The error is the distance between where KISS-ICP and the bag's odometry have the LiDAR one second
later, in its own frame: of use where the bag's odometry is the better one, as in simulated drives
(`kdmos simulate`). Clouds are not deskewed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from kdmos_ros.errors import KdmosError, PoseError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.labels import MOVING, from_semantickitti
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses.kiss_source import KissSource
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.poses.recorded_poses import kiss_poses

SPAN_NS = 1_000_000_000


def register(source: KissSource, cloud: StampedCloud) -> np.ndarray | None:
    """KISS-ICP's pose (4, 4) of a cloud, or None."""
    try:
        source.observe(cloud)
        return source.wait(cloud.stamp_ns, 0.0).pose
    except PoseError:
        return None


def drift_m(
    stamps: list[int], found: list[np.ndarray | None], true: list[np.ndarray]
) -> np.ndarray:
    """Distances (K,) between the two after each second that both know."""
    errors = []
    for i, start in enumerate(stamps):
        j = next((k for k, s in enumerate(stamps) if s >= start + SPAN_NS), None)
        if j is None or found[i] is None or found[j] is None:
            continue
        own, other = invert(found[i]) @ found[j], invert(true[i]) @ true[j]
        errors.append(float(np.linalg.norm((own - other)[:3, 3])))
    return np.array(errors)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="folder of NNNNNN.label files")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    try:
        with open_bag(args.bag, BagOptions()) as bag:
            labels = LabelFolder(args.labels)
            sources = [kiss_poses(bag.base_frame, 0) for _ in range(2)]
            stamps, true, found, share = [], [], ([], []), []
            for index, (stamp_ns, message) in enumerate(bag.clouds()):
                points = decode(message).points
                moves = from_semantickitti(labels.read(index, stamp_ns, len(points))) == MOVING
                share.append(moves.mean())
                stamps.append(stamp_ns)
                true.append(bag.poses.wait(stamp_ns, 0.0).pose @ bag.base_T_sensor)
                for kept, source, poses in zip(
                    (points, points[~moves]), sources, found, strict=True
                ):
                    cloud = StampedCloud(stamp_ns, bag.sensor_frame, kept, None)
                    poses.append(register(source, cloud))
    except KdmosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(stamps)} clouds, {100 * np.mean(share):.1f} % of the points move")
    for name, poses in zip(("all points", "without moving points"), found, strict=True):
        drift = drift_m(stamps, poses, true)
        print(
            f"{name}: {100 * np.sqrt((drift**2).mean()):.1f} cm a second (root mean square),"
            f" at most {100 * drift.max():.1f} cm"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
