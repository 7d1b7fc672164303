"""Options for where the poses of a bag come from, and for errors added to them."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from kdmos_ros.commands._options import count
from kdmos_ros.defaults import PARAMETERS, POSE_SOURCES
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.poses.pose_noise import PoseNoise
    from kdmos_ros.poses.pose_source import PoseSource


def add_pose_source_option(parser: argparse.ArgumentParser) -> None:
    """--pose-source and --fixed-frame."""
    parser.add_argument(
        "--pose-source",
        choices=POSE_SOURCES,
        default=PARAMETERS["pose_source"],
        help="odometry or TF of the bag, KISS-ICP on its clouds, or auto: the first of these that"
        " the bag allows (default: %(default)s)",
    )
    parser.add_argument(
        "--fixed-frame",
        default=PARAMETERS["fixed_frame"],
        metavar="FRAME",
        help="frame with continuous odometry, for poses from TF (default: %(default)s)",
    )


def pose_source(args: argparse.Namespace, bag: BagReader) -> PoseSource | None:
    """The source of poses that the bag was opened for; None: its odometry.

    Raises:
        KdmosError: kiss-icp is not installed.
    """
    from kdmos_ros.io.recorded_tf import RecordedTf
    from kdmos_ros.poses.recorded_poses import kiss_poses

    if bag.pose_source == "kiss_icp":
        return kiss_poses(bag.base_frame, args.threads)
    if bag.pose_source == "tf":
        # With a given mount, TF need not know the LiDAR's frame.
        knows_lidar = args.base_to_lidar is None
        return RecordedTf(bag.read_transforms(), bag.base_frame, bag.fixed_frame, knows_lidar)
    return None


def add_error_options(parser: argparse.ArgumentParser) -> None:
    """Options that add errors to the bag's odometry, named as in PoseNoise."""
    group = parser.add_argument_group("errors added to the odometry")
    for name, text in (
        ("noise-m", "independent error of each pose, root mean square, metres"),
        ("noise-deg", "the same in degrees"),
        ("drift-m", "random walk: root mean square after one second, metres"),
        ("drift-deg", "the same in degrees"),
    ):
        group.add_argument(f"--pose-{name}", type=_size, default=0.0, metavar="X", help=text)
    group.add_argument(
        "--stamp-offset-ms",
        type=_finite,
        default=0.0,
        metavar="MS",
        help="delay of its stamps; negative: they are early",
    )
    group.add_argument(
        "--planar-odometry",
        action="store_true",
        help="without height, roll and pitch, as from wheel odometry",
    )
    group.add_argument(
        "--seed", type=count, default=0, metavar="N", help="seed of the random errors"
    )


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return value


def _size(text: str) -> float:
    """A finite number, not negative."""
    value = _finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def bag_poses(args: argparse.Namespace, bag: BagReader) -> PoseSource:
    """The source of poses that the options ask for, with the errors asked for.

    Raises:
        KdmosError: kiss-icp is not installed, or there is no odometry to add errors to.
    """
    from kdmos_ros.poses.recorded_poses import RecordedPoses

    error = _error(args)
    other = pose_source(args, bag)
    if other is None:
        odometry = error.apply(bag.odometry, bag.base_T_sensor)
        return RecordedPoses(odometry, bag.base_frame, bag.odom_frame)
    if error.any:
        raise KdmosError(f"there is no odometry to add errors to with {bag.pose_source}")
    return other


def refuse_pose_options(args: argparse.Namespace) -> None:
    """For what carries its own poses.

    Raises:
        KdmosError: one of the options was given.
    """
    if args.pose_source != PARAMETERS["pose_source"] or _error(args).any:
        raise KdmosError("--pose-source and errors of the poses apply to bags only")


def _error(args: argparse.Namespace) -> PoseNoise:
    from kdmos_ros.poses.pose_noise import PoseNoise

    return PoseNoise(
        noise_m=args.pose_noise_m,
        noise_deg=args.pose_noise_deg,
        drift_m=args.pose_drift_m,
        drift_deg=args.pose_drift_deg,
        offset_ms=args.stamp_offset_ms,
        planar=args.planar_odometry,
        seed=args.seed,
    )
