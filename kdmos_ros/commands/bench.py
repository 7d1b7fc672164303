"""`kdmos bench`: how long each stage takes."""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import product
from pathlib import Path

from kdmos_ros.commands._options import PROVIDERS, add_bag_options, count, model_folder, positive

_SIMULATED_S = 8.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "bench",
        help="time every stage of the pipeline",
        description="Run the node's pipeline over a drive, without ROS, and print median, 90th "
        "and 99th percentile of each stage, from cloud message to labelled bytes. The first two "
        "seconds are a warm-up and do not count.",
    )
    parser.add_argument("--bag", type=Path, help="rosbag2 (default: a simulated drive)")
    add_bag_options(parser)
    parser.add_argument(
        "--model", action="append", help="model folder, or name of a shipped model; repeatable"
    )
    parser.add_argument(
        "--provider", action="append", choices=PROVIDERS, help="where to run it; repeatable"
    )
    parser.add_argument(
        "--threads", type=count, default=0, metavar="N", help="CPU threads; 0: all cores"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Time each model on each provider; returns the exit status."""
    from kdmos_ros import benchmark
    from kdmos_ros.commands._options import open_bag
    from kdmos_ros.io.atomic import new_file

    models = [model_folder(name) for name in args.model or [None]]
    runs = []
    with tempfile.TemporaryDirectory(prefix="kdmos_bench_") as scratch:
        path = args.bag or _simulate(Path(scratch) / "drive")
        with open_bag(path, args) as bag:
            for model, provider in product(models, args.provider or ["auto"]):
                runs.append(benchmark.run(bag, model, provider, args.threads, args.limit))
                print(runs[-1].to_text(), flush=True)
    if args.json:
        content = {"machine": benchmark.machine(), "runs": [r.to_dict() for r in runs]}
        with new_file(args.json) as part:
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def _simulate(path: Path) -> Path:
    from kdmos_ros.io.drive_bag import DriveWriter
    from kdmos_ros.sim import make_drive

    drive = make_drive(7, duration_s=_SIMULATED_S, scene="street", ego="driving")
    with DriveWriter(path, drive.base_T_sensor) as writer:
        for frame in drive:
            writer.add(frame.scan)
    return path
