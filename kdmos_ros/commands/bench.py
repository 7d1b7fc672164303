"""`kdmos bench`: how long each stage takes."""

from __future__ import annotations

import argparse
import math
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._bench_modes import (
    isolate_ros,
    run_against,
    run_first_label,
    run_memory,
    run_published,
    run_soak,
    run_sweep,
    simulate,
)
from kdmos_ros.commands._options import (
    add_bag_options,
    bag_options,
    count,
    model_folder,
    open_bag,
    positive,
    shown_command,
)
from kdmos_ros.defaults import PRECISION_CHOICES, PROVIDER_CHOICES
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.bench.report import Results
    from kdmos_ros.bench.stage_times import Case


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "bench",
        help="time every stage of the pipeline",
        description="Run the node's pipeline over a drive, without ROS, and print median, 90th "
        "and 99th percentile of each stage, from cloud message to labelled bytes, next to the "
        "shortest time that this machine needs for it. Each combination of model, provider, "
        "precision and threads runs in its own process. The first two seconds are left out.",
    )
    parser.add_argument("--bag", type=Path, help="rosbag2 (default: a simulated drive)")
    add_bag_options(parser)
    parser.add_argument(
        "--model", action="append", help="model folder, or name of a shipped model; repeatable"
    )
    parser.add_argument(
        "--provider", action="append", choices=PROVIDER_CHOICES, help="where to run it; repeatable"
    )
    parser.add_argument(
        "--precision", action="append", choices=PRECISION_CHOICES, help="number format; repeatable"
    )
    parser.add_argument(
        "--threads",
        action="append",
        type=count,
        metavar="N",
        help="CPU threads; 0: all usable cores; repeatable",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument(
        "--ros",
        action="store_true",
        help="also play the drive to the node in its own process, and time its answers",
    )
    parser.add_argument(
        "--rate",
        action="append",
        type=float,
        metavar="HZ",
        help="with --ros: also at this many clouds a second, for instance more than it can label;"
        " repeatable. With --soak: instead of the pace of the recording",
    )
    parser.add_argument(
        "--sweep",
        choices=("points", "history"),
        help="instead: measure how the cost grows with the points per scan, or with the number of"
        " past scans kept, on synthetic scans",
    )
    parser.add_argument(
        "--soak",
        type=float,
        metavar="SECONDS",
        help="instead: play the drive to the node in a loop for this long, and record its memory",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="instead: time a re-implementation of the published KDMOS network, in PyTorch",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="instead: time this code and that of another checkout in turn, and print the ratios of"
        " their medians; each uses its own models",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="instead: say what takes the memory, from the start of the process to --limit scans",
    )
    parser.add_argument(
        "--first-label",
        action="store_true",
        help="instead: time the first start of the node after an install, when nothing is compiled"
        " yet, until its first labelled cloud",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=3,
        metavar="N",
        help="with --against: how often each is timed (default: 3)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw what --sweep or --soak measured (.png, .svg, .pdf)",
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
        help="also include what --json wrote on this machine, for example with another build of"
        " ONNX Runtime, with --sweep or --soak, or by `kdmos eval`; repeatable",
    )
    parser.add_argument(
        "--collect", action="store_true", help="time nothing, only write the page from those files"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Time each combination; returns the exit status."""
    _check(args)
    if args.sweep:
        return run_sweep(args)
    if args.soak:
        return run_soak(args)
    if args.published:
        return run_published(args)
    if args.against:
        return run_against(args)
    if args.memory:
        return run_memory(args)
    if args.first_label:
        return run_first_label(args)
    from contextlib import ExitStack

    from kdmos_ros.bench import machine
    from kdmos_ros.bench.report import Results
    from kdmos_ros.io.atomic import new_file

    if args.report:
        import kdmos_ros.bench.plots  # noqa: F401  # now: it may lack matplotlib
    results = Results(shown_command(args.words, {}), machine.describe())
    for path in args.also:
        results.add_file(path)
    if args.collect:
        _write_page(results, args.report)
        return 0
    models = [model_folder(name) for name in args.model or [None]]
    with ExitStack() as stack:
        file = stack.enter_context(new_file(args.json)) if args.json else None
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="kdmos_bench_"))
        path = args.bag or simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        cases = _cases(args, path, models)
        counts = {case.threads for case in cases}
        before = {threads: machine.peaks(threads) for threads in counts}
        results.add_peaks(before)
        _time(cases, results, args)
        # Again: another program may have held the machine up.
        results.add_peaks({threads: machine.peaks(threads) for threads in counts})
        if file is not None:
            file.write_text(results.to_json(), encoding="utf-8")
    if args.report:
        _write_page(results, args.report)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.plot and not (args.sweep or args.soak):
        raise KdmosError("--plot needs --sweep or --soak; --report has its own plots")
    if args.rate and not (args.ros or args.soak):
        raise KdmosError("--rate needs --ros or --soak")
    asked = [*(args.rate or []), *([] if args.soak is None else [args.soak])]
    if not all(0 < value < math.inf for value in asked):
        raise KdmosError("--rate and --soak must be above 0 and finite")
    if args.collect and not (args.report and args.also):
        raise KdmosError("--collect needs --report and --also")
    if args.also and (args.sweep or args.soak or args.published):
        raise KdmosError("--also and --collect are for the page of --report")


def _cases(args: argparse.Namespace, path: Path, models: list[Path]) -> list[Case]:
    from kdmos_ros.bench.stage_times import Case

    bag = bag_options(args)
    choices = product(
        models, args.provider or ["auto"], args.precision or ["auto"], args.threads or [0]
    )
    return [
        Case(path, bag, model, provider, precision, threads, args.limit)
        for model, provider, precision, threads in choices
    ]


def _time(cases: list[Case], results: Results, args: argparse.Namespace) -> None:
    from kdmos_ros.bench.report import dds_to_text, to_text
    from kdmos_ros.bench.stage_times import run as run_case

    if args.ros:
        isolate_ros()
        from kdmos_ros.bench.node_timing import measure
    for case in cases:
        results.runs.append(run_case(case))
        print(to_text(results.runs[-1], results.peaks), flush=True)
        for rate_hz in [None, *(args.rate or [])] if args.ros else []:
            results.over_dds.append(measure(case, rate_hz))
            print(dds_to_text(results.over_dds[-1]), flush=True)


def _write_page(results: Results, path: Path) -> None:
    from kdmos_ros.bench.plots import draw
    from kdmos_ros.bench.report_page import to_markdown
    from kdmos_ros.io.atomic import new_file

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = draw(results, path.parent, path.stem)
    with new_file(path) as part:
        part.write_text(to_markdown(results, pictures), encoding="utf-8")
