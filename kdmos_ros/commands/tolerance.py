"""`kdmos tolerance`: a table of the IoU against errors of the poses, or against mounts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    count,
    make_segmenter,
    open_bag,
    positive,
)
from kdmos_ros.commands._truth_options import bag_labels

if TYPE_CHECKING:
    from kdmos_ros.evaluation.bag_evaluation import LabelSource
    from kdmos_ros.evaluation.mount_tolerance import Reframing
    from kdmos_ros.evaluation.tolerance_table import Row
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.poses.pose_noise import PoseNoise
    from kdmos_ros.segmentation.segmenter import Segmenter


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "tolerance",
        help="measure how the IoU drops as poses get worse",
        description="Score a model on a labelled bag repeatedly, with noise, drift and a"
        " stamp offset added to its odometry, and print a Markdown table. With --mounts the"
        " poses stay right, and the same points come in frames that are pitched, rolled or bob.",
    )
    parser.add_argument("bag", type=Path, help="bag directory, .mcap or .db3 file")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder of NNNNNN.label files, one per scan (default: the bag's own ground truth)",
    )
    parser.add_argument(
        "--mounts",
        action="store_true",
        help="turn the frame of the clouds instead of adding errors to the poses",
    )
    add_model_options(parser)
    add_bag_options(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument(
        "--seed", type=count, default=0, metavar="N", help="seed of the random errors (default: 0)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    from kdmos_ros.evaluation.tolerance_table import to_dict, to_markdown
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.pipeline.first_start import warm_up

    def tell(row: Row[Any]) -> None:
        iou = row.report.confusion.iou
        print(f"{row.name}: {'n/a' if iou is None else f'{iou:.4f}'}", file=sys.stderr)

    with ExitStack() as stack:
        bag = stack.enter_context(open_bag(args.bag, args))
        labels = bag_labels(args.labels, bag)
        stack.enter_context(labels)
        json_file = stack.enter_context(new_file(args.json)) if args.json else None
        table_file = stack.enter_context(new_file(args.markdown)) if args.markdown else None
        segmenter = make_segmenter(args)
        warm_up(segmenter)
        measure = _over_mounts if args.mounts else _over_poses
        rows = measure(bag, labels, segmenter, args, tell)
        table = to_markdown(rows, "frame of the clouds" if args.mounts else "poses")
        if json_file is not None:
            json_file.write_text(json.dumps(to_dict(rows), indent=2) + "\n")
        if table_file is not None:
            table_file.write_text(table, encoding="utf-8")
    print(table, end="")
    return 0


def _over_poses(
    bag: BagReader,
    labels: LabelSource,
    segmenter: Segmenter,
    args: argparse.Namespace,
    tell: Callable[[Row[Any]], None],
) -> list[Row[PoseNoise]]:
    from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag
    from kdmos_ros.evaluation.pose_tolerance import cases
    from kdmos_ros.evaluation.tolerance_table import measure
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.poses.recorded_poses import RecordedPoses
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter

    def evaluate(error: PoseNoise) -> Report:
        odometry = error.apply(bag.odometry, bag.base_T_sensor)
        poses = RecordedPoses(odometry, bag.base_frame)
        report = Report(segmenter.model_name, segmenter.provider)
        replayed = replay(bag, OnlineSegmenter(segmenter), args.limit, poses=poses)
        return evaluate_bag(replayed, labels, report)

    return measure(cases(args.seed), evaluate, tell)


def _over_mounts(
    bag: BagReader,
    labels: LabelSource,
    segmenter: Segmenter,
    args: argparse.Namespace,
    tell: Callable[[Row[Any]], None],
) -> list[Row[Reframing]]:
    from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag
    from kdmos_ros.evaluation.mount_tolerance import CASES, ReframedSegmenter
    from kdmos_ros.evaluation.tolerance_table import measure
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter

    def evaluate(reframing: Reframing) -> Report:
        report = Report(segmenter.model_name, segmenter.provider)
        online = ReframedSegmenter(OnlineSegmenter(segmenter), reframing, bag.base_T_sensor)
        return evaluate_bag(replay(bag, online, args.limit), labels, report)

    return measure(CASES, evaluate, tell)
