"""`kdmos eval`: score a model on labelled bags and data sets."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._eval_sources import (
    add_source_options,
    find_sources,
    is_bag,
    run_sources,
)
from kdmos_ros.commands._map_metrics import empty_map
from kdmos_ros.commands._offline_options import (
    add_offline_options,
    check_offline_options,
    make_offline,
)
from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    add_reading_options,
    delays,
    make_segmenter,
    open_bag,
    positive,
    shown_command,
)
from kdmos_ros.commands._pose_options import (
    add_error_options,
    add_pose_source_option,
    bag_poses,
    refuse_pose_options,
)
from kdmos_ros.commands._submission import ARCHIVE, check_packable, pack
from kdmos_ros.commands._truth_options import bag_labels

if TYPE_CHECKING:
    from kdmos_ros.evaluation.bag_evaluation import Report
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.samples import Source
    from kdmos_ros.io.semantickitti import LabelFolder
    from kdmos_ros.poses.pose_source import PoseSource
    from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter

TABLES = ("range", "class", "speed", "sensor", "object")
_OUTPUTS = {"--json": 1, "--plot": 1, "--predictions": 1, "--zip": 0}  # and their values
_WHAT = {
    "range": "horizontal range",
    "class": "object class",
    "speed": "speed of the object",
    "sensor": "sensor (of simulated drives: of those of --sensor, or of six kinds)",
    "object": "object: moving objects found, by range, class and speed, and false alarms",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "eval",
        help="score a model on a labelled bag or data set",
        description="Run the node's segmenter without ROS and print the moving IoU, precision and"
        " recall of the SemanticKITTI-MOS protocol and the time of each stage. Unlabelled points"
        " do not count; all scans of a split go into one confusion matrix.",
    )
    parser.add_argument(
        "bag",
        metavar="DATA",
        type=Path,
        help="bag directory, .mcap or .db3 file; folder of clouds with poses; folder in"
        " SemanticKITTI layout (a data set with"
        " sequences/, HeLiMOS, or one sequence); sim:SEED or sim:FIRST-LAST for simulated drives;"
        " drive_*.npz file, or folder of them, that training has kept",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="for a bag: folder of NNNNNN.label files, one per scan (default: the bag's own ground"
        " truth)",
    )
    add_model_options(parser)
    add_bag_options(parser)
    add_reading_options(parser)
    add_pose_source_option(parser)
    add_error_options(parser)
    add_source_options(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="first N scans only")
    parser.add_argument(
        "--lookahead",
        type=delays,
        default=(0,),
        metavar="N|A-B",
        help="label each scan once N later ones (0-7) have arrived, if the model can use them;"
        " A-B: IoU for each of these delays (default: 0)",
    )
    add_offline_options(parser)
    for table in TABLES:
        parser.add_argument(
            f"--by-{table}", action="store_true", help=f"print figures by {_WHAT[table]} too"
        )
    parser.add_argument(
        "--map-metrics",
        action="store_true",
        help="score the map of the static world that the labels give: static and dynamic accuracy,"
        " and their means AA and HA, as in the DynamicMap benchmark",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="draw pictures of the figures there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="write labels to DIR/sequences/XX/predictions, the benchmark's layout",
    )
    parser.add_argument(
        "--zip",
        action="store_true",
        help=f"pack them for submission as DIR/{ARCHIVE}, and check it like the benchmark",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    from kdmos_ros.errors import KdmosError
    from kdmos_ros.evaluation.bag_evaluation import Report
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.pipeline.first_start import warm_up
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter, check_lookahead

    check_offline_options(args)
    with ExitStack() as stack:
        # All data is opened before the model is loaded: what is wrong with it is said at once.
        sources: list[Source] = []
        bag = stack.enter_context(open_bag(args.bag, args)) if is_bag(args) else None
        if bag is not None:
            labels = bag_labels(args.labels, bag)
            stack.enter_context(labels)
            poses = bag_poses(args, bag)
        else:
            refuse_pose_options(args)
            sources = find_sources(args)
        if len(args.lookahead) > 1 and args.predictions:
            raise KdmosError("--predictions needs one --lookahead, not a range")
        if args.zip:
            check_packable(args, sources)
        if args.map_metrics and len(sources) > 1:
            raise KdmosError("--map-metrics needs one sequence: choose it with --sequence")
        report_file = stack.enter_context(new_file(args.json)) if args.json else None
        if args.plot:
            from kdmos_ros.visualization.evaluation_plots import (  # now: it may lack matplotlib
                draw,
                draw_delays,
            )

            args.plot.mkdir(parents=True, exist_ok=True)
        if args.offline:
            offline = stack.enter_context(make_offline(args))
            model, spec, provider = offline.model_name, offline.spec, offline.provider
        else:
            segmenter = make_segmenter(args)
            if max(args.lookahead):
                check_lookahead(segmenter.spec)
            warm_up(segmenter)
            model, spec, provider = segmenter.model_name, segmenter.spec, segmenter.provider
        reports: list[Report] = []
        for delay in args.lookahead:
            report = Report(model, provider, lookahead=delay)
            user = offline if args.offline else OnlineSegmenter(segmenter, delay)
            if args.map_metrics:
                report.static_map = empty_map(stack)
            if bag is None:
                run_sources(args, sources, user, report, stack)
            else:
                if reports:  # both have been read to their ends
                    labels = bag_labels(args.labels, bag)
                    stack.enter_context(labels)
                    poses = bag_poses(args, bag)
                _run_bag(args, bag, labels, poses, user, report, stack)
            reports.append(report)
        results = [
            {
                **report.to_dict(),
                "data": args.bag.name,
                "command": shown_command(args.words, without=_OUTPUTS),
                "weights": spec.weights,
            }
            for report in reports
        ]
        if report_file is not None:
            content = results[0] if len(results) == 1 else results
            report_file.write_text(json.dumps(content, indent=2) + "\n")
        if args.plot and len(reports) == 1:
            draw(reports[0], args.plot)
        elif args.plot:
            draw_delays(results, args.plot)
    for report in reports:
        print(report.to_text([table for table in TABLES if getattr(args, f"by_{table}")]))
    if args.zip:
        print(pack(args.predictions, sources))
    return 0


def _run_bag(
    args: argparse.Namespace,
    bag: BagReader,
    labels: LabelFolder | BagLabels,
    poses: PoseSource,
    segmenter: ScanSegmenter,
    report: Report,
    stack: ExitStack,
) -> None:
    from kdmos_ros.evaluation.bag_evaluation import evaluate_bag
    from kdmos_ros.io.semantickitti_writer import new_predictions
    from kdmos_ros.labels import to_benchmark
    from kdmos_ros.pipeline.replay import ReplayedScan, replay
    from kdmos_ros.progress import progress

    predictions = None
    if args.predictions:
        name = args.sequence[0] if args.sequence else "00"
        predictions = stack.enter_context(new_predictions(args.predictions, name))

    def write(scan: ReplayedScan) -> None:
        if predictions is not None and scan.labels is not None:
            predictions.add(scan.index, to_benchmark(scan.labels))

    total = min(bag.n_scans, args.limit or bag.n_scans)
    replayed = replay(bag, segmenter, args.limit, poses=poses, health=report.health)
    evaluate_bag(progress(replayed, total, "eval"), labels, report, write)
