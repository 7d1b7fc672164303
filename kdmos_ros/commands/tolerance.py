"""`kdmos tolerance`: a table of the IoU against errors of the poses."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    count,
    make_segmenter,
    open_bag,
    positive,
)
from kdmos_ros.commands._truth_options import bag_labels


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "tolerance",
        help="measure how the IoU drops as poses get worse",
        description="Score a model on a labelled bag repeatedly, with noise, drift and a"
        " stamp offset added to its odometry, and print a Markdown table.",
    )
    parser.add_argument("bag", type=Path, help="bag directory, .mcap or .db3 file")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder of NNNNNN.label files, one per scan (default: the bag's own ground truth)",
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
    from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag
    from kdmos_ros.evaluation.pose_tolerance import Row, measure, to_dict, to_markdown
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.poses.pose_noise import PoseNoise
    from kdmos_ros.poses.recorded_poses import RecordedPoses
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter

    with ExitStack() as stack:
        bag = stack.enter_context(open_bag(args.bag, args))
        labels = bag_labels(args.labels, bag)
        stack.enter_context(labels)
        json_file = stack.enter_context(new_file(args.json)) if args.json else None
        table_file = stack.enter_context(new_file(args.markdown)) if args.markdown else None
        segmenter = make_segmenter(args)
        segmenter.warm_up()

        def evaluate(error: PoseNoise) -> Report:
            odometry = error.apply(bag.odometry, bag.base_T_sensor)
            poses = RecordedPoses(odometry, bag.base_frame)
            report = Report(segmenter.model_name, segmenter.provider)
            replayed = replay(bag, OnlineSegmenter(segmenter), args.limit, poses=poses)
            return evaluate_bag(replayed, labels, report)

        def tell(row: Row) -> None:
            iou = row.report.confusion.iou
            print(f"{row.name}: {'n/a' if iou is None else f'{iou:.4f}'}", file=sys.stderr)

        rows = measure(args.seed, evaluate, tell)
        if json_file is not None:
            json_file.write_text(json.dumps(to_dict(rows), indent=2) + "\n")
        if table_file is not None:
            table_file.write_text(to_markdown(rows), encoding="utf-8")
    print(to_markdown(rows), end="")
    return 0
