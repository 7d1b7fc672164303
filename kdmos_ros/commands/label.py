"""`kdmos label`: label whole bags."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._offline_options import add_offline_options, check_offline_options
from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    add_reading_options,
    bag_name,
    delay,
    make_segmenters,
    open_bag,
    positive,
)
from kdmos_ros.commands._pose_options import add_pose_source_option, pose_source
from kdmos_ros.defaults import MAP_VOXEL_M
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.labelling.job import Outcome, Target


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "label",
        help="label whole bags",
        usage="kdmos label BAG [OUT] [options]\n"
        "       kdmos label BAG [BAG ...] --out-dir DIR [options]",
        description="Run the node's segmenter over a rosbag2, without ROS. Writes a bag with all of"
        " its messages and the labelled clouds, or what the options below ask for. Stopped by"
        " Ctrl-C or SIGTERM, it keeps what is done so far, and --resume continues.",
    )
    parser.add_argument(
        "bags",
        type=Path,
        nargs="+",
        metavar="BAG",
        help="bag directory, .mcap or .db3 file, or folder of clouds with poses, and the output"
        " (default: BAG_labeled beside it);"
        " or several bags, with --out-dir",
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--drop-moving",
        action="store_true",
        help="write the bag without moving points (default OUT: BAG_static)."
        " Clouds that cannot be labelled are left out",
    )
    kinds.add_argument(
        "--semantickitti", type=Path, metavar="DIR", help="write NNNNNN.label files instead"
    )
    kinds.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="write a map of the static world instead: .pcd, .ply, .las, .laz or .copc.laz",
    )
    parser.add_argument(
        "--topic",
        default="/mos_node/labeled",
        help="topic of the labelled clouds (default: /mos_node/labeled)",
    )
    parser.add_argument(
        "--voxel",
        type=_metres,
        default=MAP_VOXEL_M,
        metavar="M",
        help="voxel size of the map (default: %(default)s m)",
    )
    parser.add_argument(
        "--height-colours", action="store_true", help="colour the points of the map by height"
    )
    parser.add_argument(
        "--smooth-ground",
        action="store_true",
        help="move points of level surfaces of the map onto the planes around them",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue where an earlier run was stopped"
    )
    parser.add_argument(
        "--lookahead",
        type=delay,
        default=0,
        metavar="N",
        help="also use N later scans (0-7) for each scan, if the model can (default: 0)",
    )
    add_offline_options(parser)
    # For the processes of --offline --jobs and --cluster: folder of parts, first one, end.
    parser.add_argument("--shard", nargs=3, help=argparse.SUPPRESS)
    many = parser.add_argument_group("several bags, or one with --offline")
    many.add_argument(
        "--out-dir",
        type=Path,
        metavar="DIR",
        help="write to DIR/BAG; DIR and FILE of the options above are then names inside it",
    )
    many.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="bags at a time, or stretches of one bag with --offline (default: 1)",
    )
    many.add_argument(
        "--shard-parts",
        type=positive,
        default=12,
        metavar="N",
        help="with --offline, parts (50 scans each) of a stretch of one bag (default: 12)",
    )
    many.add_argument(
        "--cluster", choices=("dask",), help="spread them over the machines of a cluster"
    )
    many.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of the scheduler (default: as the cluster is configured)",
    )
    add_model_options(parser)
    add_bag_options(parser)
    add_reading_options(parser)
    add_pose_source_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label; returns the exit status."""
    check_offline_options(args)
    if args.shard:
        from kdmos_ros.commands._label_offline import make_shard

        return make_shard(args)
    if args.out_dir is not None:
        from kdmos_ros.commands._label_many import label_many

        return label_many(args)
    if (args.cluster or args.jobs > 1) and not args.offline:
        raise KdmosError("--jobs and --cluster need --out-dir, or --offline")
    return _label_one(args)


def _label_one(args: argparse.Namespace) -> int:
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.job import label_bag, unfinished
    from kdmos_ros.labelling.overlapped import Overlapped
    from kdmos_ros.pipeline.first_start import warm_up
    from kdmos_ros.segmentation.online_segmenter import check_lookahead

    target = _target(args)
    if not unfinished(target, args.resume):
        print(f"{target.path}: complete already")
        return 0
    if args.offline:
        from kdmos_ros.commands._label_offline import label_offline

        return label_offline(args, target, _report)
    with Interrupt() as interrupt, open_bag(args.bags[0], args) as bag:
        segmenters = make_segmenters(args)
        if args.lookahead:
            check_lookahead(segmenters[0].spec)
        for segmenter in segmenters:
            warm_up(segmenter)
        made_by = f"{segmenter.model_name} {segmenter.spec.digest} on {segmenter.provider}"
        if args.lookahead:
            made_by += f", {args.lookahead} scans ahead"
        poses = pose_source(args, bag)
        with Overlapped(segmenters, args.lookahead) as overlapped:
            outcome = label_bag(bag, overlapped, made_by, target, interrupt, args.resume, poses)
    _report(target.path, outcome)
    return 128 + outcome.signal if outcome.signal else 0


def _target(args: argparse.Namespace) -> Target:
    from kdmos_ros.labelling import job
    from kdmos_ros.labelling.sinks import MapStyle

    option = args.semantickitti or args.map
    if len(args.bags) > (1 if option else 2):
        raise KdmosError("several bags need --out-dir")
    bag = args.bags[0]
    if option:
        kind = job.LABEL_FILES if args.semantickitti else job.MAP
        style = MapStyle(args.voxel, args.height_colours, args.smooth_ground)
        return job.Target(option, kind, map_style=style)
    kind, suffix = (job.WITHOUT_MOVING, "static") if args.drop_moving else (job.BAG, "labeled")
    path = args.bags[1] if len(args.bags) > 1 else bag.parent / f"{bag_name(bag)}_{suffix}"
    return job.Target(path, kind, "/" + args.topic.strip("/"))


def _report(path: Path, outcome: Outcome) -> None:
    speed = outcome.speed()
    text = f"{path}: {outcome.labelled} of {outcome.total} scans labelled"
    if speed:
        text += f", {speed}"
    if outcome.dropped:
        text += f"\nnot labelled: {outcome.reasons()}"
    print("\n".join([text, *outcome.health]), flush=True)
    if outcome.signal:
        print(
            f"kdmos: interrupted after {outcome.done} of {outcome.total} scans; --resume continues",
            file=sys.stderr,
        )


def _metres(text: str) -> float:
    """A finite length above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a length above 0, got {text!r}")
    return value
