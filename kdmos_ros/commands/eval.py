"""`kdmos eval`: score a model on a labelled bag."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack, closing
from pathlib import Path

from kdmos_ros.commands._labels import bag_labels
from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    add_reading_options,
    make_segmenter,
    open_bag,
    positive,
)
from kdmos_ros.commands._pose_options import (
    add_error_options,
    add_pose_source_option,
    bag_poses,
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "eval",
        help="score a model on a labelled bag",
        description="Run the node's segmenter over a rosbag2, without ROS, and print the moving"
        " IoU, precision and recall of the SemanticKITTI-MOS protocol and the time of each stage.",
    )
    parser.add_argument("bag", type=Path, help="bag directory, .mcap or .db3 file")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder of NNNNNN.label files, one a scan (default: the bag's own ground truth)",
    )
    add_model_options(parser)
    add_bag_options(parser)
    add_reading_options(parser)
    add_pose_source_option(parser)
    add_error_options(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="write labels to DIR/sequences/XX/predictions, the benchmark's layout",
    )
    parser.add_argument(
        "--sequence", default="00", metavar="XX", help="XX in that path (default: 00)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    from kdmos_ros.bag_evaluation import Report, evaluate_bag
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.io.semantickitti_writer import new_predictions
    from kdmos_ros.labels import to_semantickitti
    from kdmos_ros.progress import progress
    from kdmos_ros.replay import ReplayedScan, replay

    with ExitStack() as stack:
        bag = stack.enter_context(open_bag(args.bag, args))
        labels = stack.enter_context(closing(bag_labels(args.labels, bag)))
        poses = bag_poses(args, bag)
        segmenter = make_segmenter(args)
        segmenter.warm_up()
        report_file = stack.enter_context(new_file(args.json)) if args.json else None
        predictions = (
            stack.enter_context(new_predictions(args.predictions, args.sequence))
            if args.predictions
            else None
        )

        def write(scan: ReplayedScan) -> None:
            if predictions is not None and scan.labels is not None:
                predictions.add(scan.index, to_semantickitti(scan.labels))

        total = min(bag.n_scans, args.limit or bag.n_scans)
        replayed = progress(replay(bag, segmenter, args.limit, poses=poses), total, "eval")
        report = Report(segmenter.model_name, segmenter.provider)
        evaluate_bag(replayed, labels, report, write)
        if report_file is not None:
            report_file.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    print(report.to_text())
    return 0
