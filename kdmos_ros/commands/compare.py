"""`kdmos compare`: how simulated drives differ from real ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdmos_ros.commands._options import positive


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "compare",
        help="compare simulated with real drives",
        description="Write density by range, spread of the ground, shadows, and the see-through"
        " residuals of simulated and real drives side by side: OUTPUT/sim_vs_real.md and .png."
        " Labels of the real drives are not used.",
    )
    parser.add_argument("output", type=Path, help="folder to write to")
    parser.add_argument(
        "--real", type=Path, nargs="+", required=True, metavar="BAG", help="bags of real drives"
    )
    parser.add_argument(
        "--simulated",
        default="sim:0-3",
        metavar="SIM",
        help="sim:FIRST-LAST, or a folder of drive_*.npz files (default: sim:0-3)",
    )
    parser.add_argument("--sensor", default="hdl64e", help="(default: hdl64e)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="(default: 10)")
    parser.add_argument(
        "--duration", type=float, default=3.0, metavar="S", help="length of each drive (default: 3)"
    )
    parser.add_argument(
        "--ego", default="driving", help="motion of the robot, as in `kdmos simulate`"
    )
    parser.add_argument(
        "--every", type=positive, default=3, metavar="N", help="use every Nth scan (default: 3)"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="use the first N scans of real drives"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit status."""
    from kdmos_ros.evaluation.drive_comparison import outside_share, picture, table
    from kdmos_ros.evaluation.drive_statistics import drive_statistics
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.io.sources import SIMULATED, BagSource, open_sources
    from kdmos_ros.sim import DISTORTED

    real_sources = [BagSource(path) for path in args.real]
    for source in real_sources:
        source.labelled = False
    options = {}
    if args.simulated.startswith(SIMULATED):
        options = {
            "sensor": args.sensor,
            "rate_hz": args.rate,
            "duration_s": args.duration,
            "ego": args.ego,
            "sweep": DISTORTED,
        }
    simulated_sources = open_sources(args.simulated, **options)
    real = {
        _name(source.where): drive_statistics(source, args.every, args.limit)
        for source in real_sources
    }
    simulated = [drive_statistics(source, args.every) for source in simulated_sources]
    with new_file(args.output / "sim_vs_real.md") as part:
        part.write_text(table(simulated, real), encoding="utf-8")
    with new_file(args.output / "sim_vs_real.png") as part:
        picture(simulated, real, part)
    for name, curves in real.items():
        outside, total, titles = outside_share(simulated, curves)
        print(f"{name}: {outside} of {total} figures outside of the simulated drives")
        for title in titles:
            print(f"  {title}")
    return 0


def _name(where: str) -> str:
    """A bag called `bag` goes by the name of its folder."""
    path = Path(where)
    return path.resolve().parent.name if path.stem == "bag" else path.stem
