"""`kdmos label --offline`: judge a recording part by part, here or on a cluster, then write it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._offline_options import make_offline
from kdmos_ros.commands._options import bag_name, open_bag
from kdmos_ros.commands._pose_options import pose_source
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.job import Outcome, Target
    from kdmos_ros.labelling.many import Job, Result
    from kdmos_ros.labelling.parts import LabelParts


def label_offline(
    args: argparse.Namespace, target: Target, report: Callable[[Path, Outcome], None]
) -> int:
    """Label a bag and report on it; returns the exit status.

    Raises:
        KdmosError: options that do not go together, or a bag that cannot be labelled.
    """
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.job import label_bag
    from kdmos_ros.labelling.parts import LabelParts, StoredLabels

    folder = target.path.with_name(f"{target.path.name}.parts")
    if folder.exists() and not args.resume:
        raise KdmosError(f"{folder} is of an unfinished run; continue with --resume, or remove it")
    with Interrupt() as interrupt, open_bag(args.bags[0], args) as bag:
        parts = LabelParts(folder, bag.n_scans)
        spread = bool(args.cluster) or args.jobs > 1
        among = range(len(parts))
        all_now = parts.missing(among) == [among]
        made_by, judged_s = _judge(args, bag, parts, range(0) if spread else among, interrupt)
        if spread and not interrupt.signal:
            began = time.perf_counter()
            _spread(args, parts, interrupt)
            judged_s += time.perf_counter() - began
        if interrupt.signal:
            _say_stopped(args, parts)
            return 128 + interrupt.signal
        labels = StoredLabels(parts)
        poses = pose_source(args, bag)
        outcome = label_bag(bag, labels, made_by, target, interrupt, args.resume, poses)
        outcome.work_s = outcome.work_s + judged_s if all_now else 0.0
    report(target.path, outcome)
    if outcome.signal:
        return 128 + outcome.signal
    parts.remove()
    return 0


def make_shard(args: argparse.Namespace) -> int:
    """Make some parts only, for another process that writes the output; returns the exit status."""
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.parts import LabelParts

    folder, first, stop = args.shard
    with Interrupt() as interrupt, open_bag(args.bags[0], args) as bag:
        parts = LabelParts(Path(folder), bag.n_scans)
        _judge(args, bag, parts, range(int(first), int(stop)), interrupt)
    if interrupt.signal:
        return 128 + interrupt.signal
    print(f"parts {first} to {int(stop) - 1} of {len(parts)}")
    return 0


def _judge(
    args: argparse.Namespace, bag: BagReader, parts: LabelParts, among: range, interrupt: Interrupt
) -> tuple[str, float]:
    """Make parts; returns the identity of the labels, and the seconds that it took."""
    from kdmos_ros.labelling.job import recording_identity
    from kdmos_ros.labelling.offline import Judge

    with make_offline(args) as segmenter:
        made_by = f"{segmenter.identity}, poses from {args.pose_source}"
        parts.begin(recording_identity(bag, made_by))
        began = time.perf_counter()
        if among:
            Judge(bag, segmenter, lambda: pose_source(args, bag), interrupt).make(parts, among)
        return made_by, time.perf_counter() - began


def _spread(args: argparse.Namespace, parts: LabelParts, interrupt: Interrupt) -> None:
    """Have other processes make the parts that are missing."""
    from kdmos_ros.labelling.many import run_processes

    jobs = _jobs(args, parts)
    failed: list[Result] = []
    count = 0

    def on_result(result: Result) -> None:
        nonlocal count
        count += 1
        if result.status != 0:
            failed.append(result)
        print(f"[{count}/{len(jobs)}] {result.name}: {result.text}", file=sys.stderr, flush=True)

    if args.cluster:
        from kdmos_ros.labelling.cluster import run_on_dask

        run_on_dask(args.scheduler, jobs, on_result)
    else:
        run_processes(jobs, args.jobs, interrupt, on_result)
    if failed and not interrupt.signal:
        raise KdmosError(
            f"{len(failed)} of {len(jobs)} shards failed, the first one with: {failed[0].text};"
            " --resume continues"
        )


def _jobs(args: argparse.Namespace, parts: LabelParts) -> list[Job]:
    from kdmos_ros.commands._label_many import shared_arguments
    from kdmos_ros.labelling.many import Job

    bag, shared = args.bags[0].resolve(), shared_arguments(args)
    jobs = []
    for start in range(0, len(parts), args.shard_parts):
        stop = min(start + args.shard_parts, len(parts))
        if not parts.missing(range(start, stop)):
            continue
        shard = ("--shard", str(parts.path.resolve()), str(start), str(stop))
        name = f"{bag_name(bag)} parts {start}-{stop - 1}"
        jobs.append(Job(name, ("label", str(bag), *shard, *shared)))
    return jobs


def _say_stopped(args: argparse.Namespace, parts: LabelParts) -> None:
    missing = sum(len(run) for run in parts.missing(range(len(parts))))
    print(
        f"kdmos: interrupted; {len(parts) - missing} of {len(parts)} parts of {args.bags[0]} are"
        f" done, in {parts.path}; --resume continues",
        file=sys.stderr,
    )
