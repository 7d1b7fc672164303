"""`kdmos demo`: the real node on a simulated drive or on one's own bag."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._options import add_bag_options, add_model_options, model_folder, open_bag
from kdmos_ros.defaults import PARAMETERS
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.semantickitti import LabelFolder

_SIMULATED_S = 20.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "demo",
        help="see the node find moving objects in a drive",
        description="Simulate a drive, or take a rosbag2; play it over DDS to the node in"
        " its own process; record its output; print a table and draw a picture and an"
        " animation.",
    )
    parser.add_argument("bag", nargs="?", type=Path, help="rosbag2 (default: a simulated drive)")
    parser.add_argument("--bag", dest="bag_option", type=Path, help=argparse.SUPPRESS)
    add_bag_options(parser)
    add_model_options(parser)
    parser.add_argument(
        "--labels", type=Path, metavar="DIR", help="NNNNNN.label files for the bag, to score it"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo_output"), metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help=f"length (default: {_SIMULATED_S:g} for a simulated drive; otherwise the whole bag)",
    )
    parser.add_argument("--sensor", default="hdl64e", help="LiDAR to simulate (default: hdl64e)")
    parser.set_defaults(run=run, pose_source=PARAMETERS["pose_source"])


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    from kdmos_ros.demo.run import Outputs, run_demo, say, simulate

    started = time.monotonic()
    bag_path = args.bag or args.bag_option
    parameters = {
        "provider": args.provider,
        "precision": args.precision,
        "num_threads": str(args.threads),
    }
    if args.provider_options:
        parameters["provider_options"] = args.provider_options
    parameters["model"] = str(model_folder(args.model).resolve())
    outputs = Outputs(args.out)
    outputs.prepare()
    if bag_path is None:
        if args.cloud or args.odom or args.labels or args.base_to_lidar is not None:
            raise KdmosError("--cloud, --odom, --labels and --base-to-lidar need a bag")
        bag_path = simulate(outputs, args.seconds or _SIMULATED_S, args.sensor)
    with ExitStack() as stack:
        bag = stack.enter_context(open_bag(bag_path, args))
        if bag.pose_source != "odometry":
            raise KdmosError(
                f"{bag.path}: the demo plays odometry to the node, and this bag has none: label it"
                " with kdmos label, which does without, and look at it with kdmos view"
            )
        labels = _labels(args.labels, bag)
        if labels is not None:
            stack.enter_context(labels)
        run_demo(bag, outputs, parameters, labels, args.seconds)
    say(f"written: {outputs.picture}, {outputs.animation}, {outputs.recording} (bag)")
    say(f"took {time.monotonic() - started:.0f} s")
    return 0


def _labels(folder: Path | None, bag: BagReader) -> LabelFolder | BagLabels | None:
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.semantickitti import LabelFolder

    if folder is not None:
        return LabelFolder(folder)
    return BagLabels(bag.path) if bag.has_ground_truth else None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
