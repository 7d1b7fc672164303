"""`kdmos bench`: how long each stage takes."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._options import (
    PRECISIONS,
    PROVIDERS,
    add_bag_options,
    count,
    model_folder,
    open_bag,
    positive,
)
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.bench.report import Results
    from kdmos_ros.bench.run import Case

_SIMULATED_S = 12.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "bench",
        help="time every stage of the pipeline",
        description="Run the node's pipeline over a drive, without ROS, and print median, 90th "
        "and 99th percentile of each stage, from cloud message to labelled bytes, beside the least "
        "time that this machine needs for it. Each combination of model, provider, precision and "
        "threads runs in a process of its own. The first two seconds do not count.",
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
        "--precision", action="append", choices=PRECISIONS, help="numbers; repeatable"
    )
    parser.add_argument(
        "--threads",
        action="append",
        type=count,
        metavar="N",
        help="CPU threads; 0: all cores; repeatable",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument(
        "--ros",
        action="store_true",
        help="also play the drive to the node as a process of its own, and time its answers",
    )
    parser.add_argument(
        "--sweep",
        choices=("points", "history"),
        help="instead: how the cost grows with the points of a scan, or with the past scans kept,"
        " on synthetic scans",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what --sweep measured (.png, .svg, .pdf)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page (.md) with tables and plots"
    )
    parser.add_argument(
        "--also",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="take over what --json has written on this machine, such as with another build of"
        " ONNX Runtime; repeatable",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Time each combination; returns the exit status."""
    if args.sweep:
        return _sweep(args)
    if args.plot:
        raise KdmosError("--plot needs --sweep; --report has plots of its own")
    from contextlib import ExitStack

    from kdmos_ros.bench import machine
    from kdmos_ros.bench.report import Results
    from kdmos_ros.io.atomic import new_file

    if args.report:
        import kdmos_ros.bench.plots  # noqa: F401  # now: it may lack matplotlib
    results = Results(_command(), machine.describe())
    for path in args.also:
        results.add_file(path)
    models = [model_folder(name) for name in args.model or [None]]
    with ExitStack() as stack:
        file = stack.enter_context(new_file(args.json)) if args.json else None
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="kdmos_bench_"))
        path = args.bag or _simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        cases = _cases(args, path, models)
        counts = {case.threads for case in cases}
        before = {threads: machine.peaks(threads) for threads in counts}
        results.add_peaks(before)
        _time(cases, results, args.ros)
        # Again: another program may have held the machine up.
        results.add_peaks({threads: machine.peaks(threads) for threads in counts})
        if file is not None:
            file.write_text(results.to_json(), encoding="utf-8")
    if args.report:
        _write_page(results, args.report)
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from kdmos_ros.bench import machine, sweep
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.segmenter import Segmenter

    choices = [args.model, args.provider, args.precision, args.threads]
    if args.bag or args.ros or args.report or any(c and len(c) > 1 for c in choices):
        raise KdmosError("--sweep is for one model on synthetic scans, with --json and --plot")
    model, provider, precision, threads = (c[0] if c else None for c in choices)
    threads = threads or len(os.sched_getaffinity(0))
    segmenter = Segmenter(
        model_folder(model),
        provider=provider or "auto",
        precision=precision or "auto",
        num_threads=threads,
    )
    segmenter.warm_up()
    if args.sweep == "points":
        costs = sweep.sweep_points(segmenter)
    else:
        costs = sweep.sweep_history(segmenter, threads)
    print(sweep.to_text(args.sweep, costs), flush=True)
    if args.json:
        with new_file(args.json) as part:
            figures = sweep.to_json(args.sweep, costs, machine.describe())
            part.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if args.plot:
        sweep.plot(args.sweep, costs, args.plot)
    return 0


def _cases(args: argparse.Namespace, path: Path, models: list[Path]) -> list[Case]:
    from kdmos_ros.bench.run import Case

    bag = argparse.Namespace(cloud=args.cloud, odom=args.odom, base_to_lidar=args.base_to_lidar)
    choices = product(
        models, args.provider or ["auto"], args.precision or ["auto"], args.threads or [0]
    )
    return [
        Case(path, bag, model, provider, precision, threads, args.limit)
        for model, provider, precision, threads in choices
    ]


def _time(cases: list[Case], results: Results, over_dds: bool) -> None:
    from kdmos_ros.bench.report import to_text
    from kdmos_ros.bench.run import run as run_case

    if over_dds:
        from kdmos_ros.demo.node_process import isolate

        os.environ.update(isolate())  # before rclpy is loaded
        from kdmos_ros.ros.bench_session import measure
    for case in cases:
        results.runs.append(run_case(case))
        print(to_text(results.runs[-1], results.peaks), flush=True)
        if over_dds:
            row = measure(case)
            results.over_dds.append(row)
            p, inside = row["latency_ms"], row["stages_ms"]["total"]["p50"]
            print(
                f"over DDS: {row['labelled']} of {row['sent']} labelled, p50 {p['p50']:.1f} p90 "
                f"{p['p90']:.1f} p99 {p['p99']:.1f} ms, {inside:.1f} of it in the node (p50)",
                flush=True,
            )


def _write_page(results: Results, path: Path) -> None:
    from kdmos_ros.bench.plots import draw
    from kdmos_ros.io.atomic import new_file

    pictures = draw(results.runs, results.peaks, path.parent, path.stem)
    with new_file(path) as part:
        part.write_text(results.to_markdown(pictures), encoding="utf-8")


def _command() -> str:
    return shlex.join(["kdmos", *sys.argv[1:]])


def _simulate(path: Path) -> Path:
    from kdmos_ros.io.drive_bag import DriveWriter
    from kdmos_ros.sim import make_drive

    drive = make_drive(7, duration_s=_SIMULATED_S, scene="street", ego="driving")
    with DriveWriter(path, drive.base_T_sensor) as writer:
        for frame in drive:
            writer.add(frame.scan)
    return path
