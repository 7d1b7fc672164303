"""`kdmos simulate`: write a simulated drive as a bag or a SemanticKITTI folder."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

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
        help="hdl64e, hdl32e, vlp16, os1_64, os1_128, pandar40, mid360 or avia (default: hdl64e)",
    )
    parser.add_argument(
        "--duration", type=float, default=20.0, metavar="S", help="seconds (default: 20)"
    )
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="scans a second (default: the sensor's)"
    )
    parser.add_argument("--scene", help="street, crossing, car_park or field (default: drawn)")
    parser.add_argument("--ego", help="standing, creeping, driving or turning (default: drawn)")
    parser.add_argument(
        "--movers", choices=("yes", "no"), help="whether anything else moves (default: drawn)"
    )
    parser.add_argument(
        "--sweep-distortion",
        action="store_true",
        help="take points one after the other while everything moves, and do not deskew them;"
        " a bag gets the field `time`",
    )
    parser.add_argument("--exact-odometry", action="store_true", help="odometry without errors")
    parser.add_argument(
        "--semantickitti", action="store_true", help="write a SemanticKITTI sequence folder"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate and write; returns the exit status."""
    from kdmos_ros.sim import SweepTiming, make_drive

    if args.output.exists():
        raise KdmosError(f"{args.output} exists already")
    drive = make_drive(
        args.seed,
        sensor=args.sensor,
        duration_s=args.duration,
        rate_hz=args.rate,
        scene=args.scene,
        movers=None if args.movers is None else args.movers == "yes",
        ego=args.ego,
        sweep=SweepTiming(args.sweep_distortion),
        odometry_noise=not args.exact_odometry,
    )
    points = _write(drive, args.output, args.semantickitti)
    print(
        f"{args.output}: {len(drive)} scans of {drive.sensor.name}, {points} points,"
        f" a {drive.scene.replace('_', ' ')} with the ego {drive.ego}"
    )
    return 0


def _write(drive: Drive, output: Path, semantickitti: bool) -> int:
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
            labels = pack_labels(frame.labels, frame.instance, frame.kind)
            if isinstance(writer, DriveWriter) and drive.sweep.distorted:
                writer.add(frame.scan, labels, frame.seconds)
            else:
                writer.add(frame.scan, labels)
            points += len(frame.labels)
    return points
