"""`kdmos simulate`: write a simulated drive as a bag or a SemanticKITTI folder."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._mount_options import ATTITUDE_HELP, attitude, height_m
from kdmos_ros.commands._options import count
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.sim import Drive


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated drive",
        description="Simulate a LiDAR drive and write its clouds, odometry, mount and labels as a"
        " rosbag2 (MCAP) or a SemanticKITTI sequence folder. Equal options give equal drives.",
    )
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="(default: 0)")
    parser.add_argument(
        "--sensor",
        default="hdl64e",
        help="hdl64e, hdl32e, vlp16, os1_64, os1_128, pandar40, vls128, pandar128, mid360 or avia"
        " (default: hdl64e)",
    )
    parser.add_argument(
        "--duration", type=float, default=20.0, metavar="S", help="seconds (default: 20)"
    )
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="scans a second (default: the sensor's)"
    )
    parser.add_argument(
        "--scene",
        help="street, crossing, car_park, field, pavement, queue or hall (default: drawn, one of"
        " the first four)",
    )
    parser.add_argument("--ego", help="standing, creeping, driving or turning (default: drawn)")
    parser.add_argument(
        "--movers", choices=("yes", "no"), help="whether anything else moves (default: drawn)"
    )
    parser.add_argument(
        "--sweep-distortion",
        action="store_true",
        help="take points one after the other while everything moves, and do not deskew them;"
        " a bag gets the field `time`, and its points come in the order of their times",
    )
    parser.add_argument(
        "--seam-drift",
        type=float,
        metavar="DEG_S",
        help="with --sweep-distortion: sweeps begin elsewhere each time, at a place that wanders"
        " by so many degrees a second (default: they begin behind)",
    )
    parser.add_argument(
        "--no-times",
        action="store_true",
        help="with --sweep-distortion: leave the field `time` out",
    )
    parser.add_argument(
        "--height", type=height_m, metavar="M", help="of the LiDAR (default: drawn)"
    )
    parser.add_argument(
        "--mount-rpy",
        type=attitude,
        metavar="'R P Y'",
        help=ATTITUDE_HELP,
    )
    parser.add_argument("--exact-odometry", action="store_true", help="odometry without errors")
    parser.add_argument(
        "--semantickitti", action="store_true", help="write a SemanticKITTI sequence folder"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate and write; returns the exit status."""
    from kdmos_ros.sim import SweepTiming, make_drive
    from kdmos_ros.sim.mounting import mounted
    from kdmos_ros.sim.sensors import find_sensor

    if args.output.exists():
        raise KdmosError(f"{args.output} exists already")
    if not args.sweep_distortion and (args.seam_drift is not None or args.no_times):
        raise KdmosError("--seam-drift and --no-times need --sweep-distortion")
    drive = make_drive(
        args.seed,
        sensor=mounted(find_sensor(args.sensor), args.height, args.mount_rpy),
        duration_s=args.duration,
        rate_hz=args.rate,
        scene=args.scene,
        movers=None if args.movers is None else args.movers == "yes",
        ego=args.ego,
        sweep=SweepTiming(args.sweep_distortion, seam_drift_deg_s=args.seam_drift),
        odometry_noise=not args.exact_odometry,
    )
    points = _write(drive, args.output, args.semantickitti, not args.no_times)
    print(
        f"{args.output}: {len(drive)} scans of {drive.sensor.name}, {points} points,"
        f" a {drive.scene.replace('_', ' ')} with the ego {drive.ego}"
    )
    return 0


def _write(drive: Drive, output: Path, semantickitti: bool, timed: bool) -> int:
    import numpy as np

    from kdmos_ros.io.drive_bag import DriveWriter, pack_labels
    from kdmos_ros.io.semantickitti_writer import SequenceWriter, new_sequence
    from kdmos_ros.progress import progress

    points = 0
    with ExitStack() as stack:
        writer: DriveWriter | SequenceWriter
        if semantickitti:
            writer = stack.enter_context(new_sequence(output))
        else:
            writer = stack.enter_context(DriveWriter(output, drive.base_T_sensor))
        for frame in progress(drive, len(drive), "simulate"):
            labels, scan = pack_labels(frame.labels, frame.instance, frame.kind), frame.scan
            if isinstance(writer, DriveWriter) and drive.sweep.distorted:
                order = np.argsort(frame.seconds, kind="stable")
                intensity = None if scan.intensity is None else scan.intensity[order]
                scan = replace(scan, points=scan.points[order], intensity=intensity)
                writer.add(scan, labels[order], frame.seconds[order] if timed else None)
            else:
                writer.add(scan, labels)
            points += len(frame.labels)
    return points
