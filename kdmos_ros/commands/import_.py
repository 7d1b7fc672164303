"""`kdmos import`: a SemanticKITTI sequence as rosbag2."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kdmos_ros.commands._options import parse_mount
from kdmos_ros.errors import KdmosError

# HDL-64E on KITTI's car; stamps from 0 on would mean "no time" to ROS.
_HEIGHT_M = 1.73
_START_S = 1.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "import",
        help="convert a SemanticKITTI sequence to a bag",
        description="Writes scans, poses, labels (as /ground_truth), calibration and times of a"
        " SemanticKITTI sequence folder as a rosbag2 (MCAP).",
    )
    parser.add_argument("sequence", type=Path, help="folder with velodyne/, poses.txt, calib.txt")
    parser.add_argument("bag", type=Path, help="bag to write")
    parser.add_argument(
        "--rate", type=_positive, metavar="HZ", help="scan rate, if times.txt is missing"
    )
    parser.add_argument(
        "--start",
        type=_positive,
        default=_START_S,
        metavar="S",
        help="stamp of the first scan, seconds (default: 1)",
    )
    parser.add_argument(
        "--base-to-lidar",
        type=parse_mount,
        metavar="X,Y,Z[,ROLL,PITCH,YAW]",
        help=f"mount of the LiDAR on the base, metres and radians (default: 0,0,{_HEIGHT_M})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import; returns the exit status."""
    import numpy as np

    from kdmos_ros.geometry.transforms import make_transform
    from kdmos_ros.io.calibration_file import read_calibration
    from kdmos_ros.io.drive_bag import DriveWriter
    from kdmos_ros.io.semantickitti import Sequence
    from kdmos_ros.progress import progress

    if not args.sequence.is_dir():
        raise KdmosError(f"no such folder: {args.sequence}")
    sequence = Sequence(args.sequence, args.rate)
    calibration = read_calibration(args.sequence / "calib.txt")
    mount = args.base_to_lidar
    if mount is None:
        mount = make_transform(np.eye(3), [0.0, 0.0, _HEIGHT_M])
    labelled = (args.sequence / "labels").is_dir()
    shift_ns = round(args.start * 1e9) - sequence.scan(0).stamp_ns
    with DriveWriter(args.bag, mount, calibration=calibration) as writer:
        for index in progress(range(len(sequence)), len(sequence), "import"):
            scan = sequence.scan(index)
            labels = sequence.labels(index, len(scan.points)) if labelled else None
            writer.add(dataclasses.replace(scan, stamp_ns=scan.stamp_ns + shift_ns), labels)
    print(f"{args.bag}: {len(sequence)} scans{'' if labelled else ', no labels'}")
    return 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
