"""What `kdmos bench` does instead of timing stages: --sweep, --soak, --against and others."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdmos_ros.commands._options import (
    bag_options,
    model_folder,
    open_bag,
    shown_command,
    without_options,
)
from kdmos_ros.errors import KdmosError
from kdmos_ros.thread_pool import thread_count

_SIMULATED_S = 12.0


def run_sweep(args: argparse.Namespace) -> int:
    """`--sweep`; returns the exit status."""
    from kdmos_ros.bench import sweep
    from kdmos_ros.bench.picture_files import check_picture
    from kdmos_ros.segmentation.segmenter import Segmenter

    if args.bag or args.ros or args.report or args.soak or not _single(args):
        raise KdmosError("--sweep is for one model on synthetic scans, with --json and --plot")
    if args.plot:
        check_picture(args.plot)
    model, provider, precision, threads = _choices(args)
    with _json_file(args) as write:
        segmenter = Segmenter(
            model,
            provider=provider,
            precision=precision,
            num_threads=thread_count(threads),
        )
        segmenter.warm_up()
        if args.sweep == "points":
            costs = sweep.sweep_points(segmenter)
        else:
            costs = sweep.sweep_history(segmenter, thread_count(threads))
        run = {
            "model": segmenter.model_name,
            "provider": segmenter.provider,
            "precision": segmenter.precision,
            "threads": threads,
        }
        result = sweep.Sweep(args.sweep, costs, run)
        print(result.to_text(), flush=True)
        write(result)
    if args.plot:
        sweep.plot(result, args.plot)
    return 0


def run_soak(args: argparse.Namespace) -> int:
    """`--soak`; returns the exit status."""
    from kdmos_ros.bench import soak
    from kdmos_ros.bench.picture_files import check_picture
    from kdmos_ros.bench.stage_times import Case

    if args.report or args.limit or not _single(args):
        raise KdmosError("--soak is for one model at one rate, with --json and --plot")
    if args.plot:
        check_picture(args.plot)
    model, provider, precision, threads = _choices(args)
    with _json_file(args) as write, tempfile.TemporaryDirectory(prefix="kdmos_bench_") as scratch:
        path = args.bag or simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        isolate_ros()
        from kdmos_ros.bench.soak_session import soak as run

        case = Case(path, bag_options(args), model, provider, precision, threads)
        result = run(case, args.soak, args.rate[0] if args.rate else None)
        print(result.to_text(), flush=True)
        write(result)
    if args.plot:
        soak.plot([result], args.plot)
    return 0


def run_published(args: argparse.Namespace) -> int:
    """`--published`; returns the exit status."""
    from kdmos_ros.bench.kdmos_baseline import time_network

    if args.bag or args.model or args.ros or args.report or args.plot or not _single(args):
        raise KdmosError("--published times one fixed network, with --threads and --json")
    with _json_file(args) as write:
        result = time_network(args.threads[0] if args.threads else 0)
        print(result.to_text(), flush=True)
        write(result)
    return 0


def run_against(args: argparse.Namespace) -> int:
    """`--against`; returns the exit status."""
    from kdmos_ros.bench.against import compare

    if args.report or args.plot:
        raise KdmosError("--against prints its figures, or writes them with --json")
    words = without_options(args.words, {"--against": 1, "--rounds": 1, "--json": 1, "--bag": 1})
    with _json_file(args) as write, tempfile.TemporaryDirectory(prefix="kdmos_bench_") as scratch:
        path = args.bag or simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        result = compare(args.against, [*words[1:], "--bag", str(path.resolve())], args.rounds)
        print(result.to_text(), flush=True)
        write(result)
    return 0


def run_memory(args: argparse.Namespace) -> int:
    """`--memory`; returns the exit status."""
    from kdmos_ros.bench.memory_steps import measure

    if args.report or args.plot or not _single(args):
        raise KdmosError("--memory is for one model, with --bag, --limit and --json")
    model, provider, precision, threads = _choices(args)
    with _json_file(args) as write, tempfile.TemporaryDirectory(prefix="kdmos_bench_") as scratch:
        path = args.bag or simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        options = {"path": str(path), "cloud": args.cloud, "odom": args.odom, "limit": args.limit}
        options |= {"model": str(model), "provider": provider, "precision": precision}
        result = measure({**options, "threads": threads})
        print(result.to_text(), flush=True)
        write(result)
    return 0


def run_first_label(args: argparse.Namespace) -> int:
    """`--first-label`; returns the exit status."""
    from kdmos_ros.bench.stage_times import Case

    if args.report or args.plot or args.ros or args.limit or not _single(args):
        raise KdmosError("--first-label is for one model, with --bag and --json")
    model, provider, precision, threads = _choices(args)
    with _json_file(args) as write, tempfile.TemporaryDirectory(prefix="kdmos_bench_") as scratch:
        path = args.bag or simulate(Path(scratch) / "drive")
        open_bag(path, args).close()  # what is wrong with it is said at once
        isolate_ros()
        from kdmos_ros.bench.first_label import measure

        result = measure(Case(path, bag_options(args), model, provider, precision, threads, 50))
        print(result.to_text(), flush=True)
        write(result)
    return 0


def isolate_ros() -> None:
    """Keep clear of other ROS 2 systems; before rclpy is loaded."""
    from kdmos_ros.sessions.node_process import isolate

    os.environ.update(isolate())


def simulate(path: Path) -> Path:
    """Write a drive for those who named none."""
    from kdmos_ros.io.drive_bag import DriveWriter
    from kdmos_ros.sim import make_drive

    drive = make_drive(7, duration_s=_SIMULATED_S, scene="street", ego="driving")
    with DriveWriter(path, drive.base_T_sensor) as writer:
        for frame in drive:
            writer.add(frame.scan)
    return path


def _single(args: argparse.Namespace) -> bool:
    choices = [args.model, args.provider, args.precision, args.threads, args.rate]
    return all(c is None or len(c) == 1 for c in choices)


def _choices(args: argparse.Namespace) -> tuple[Path, str, str, int]:
    model, provider, precision, threads = (
        c[0] if c else None for c in (args.model, args.provider, args.precision, args.threads)
    )
    return model_folder(model), provider or "auto", precision or "auto", threads or 0


@contextmanager
def _json_file(args: argparse.Namespace) -> Iterator[Callable[[Any], None]]:
    """What writes a result to --json. That it cannot be written there is said at once."""
    if not args.json:
        yield lambda result: None
        return
    from kdmos_ros.bench import machine
    from kdmos_ros.io.atomic import new_file

    def write(result: Any) -> None:
        figures = result.to_json(machine.describe(), shown_command(args.words, {}))
        part.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    with new_file(args.json) as part:
        yield write
