"""The part of `kdmos eval` for data that is no bag: folders in SemanticKITTI layout, simulation."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdmos_ros.commands._mount_options import ATTITUDE_HELP, attitude, heights
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kdmos_ros.evaluation.bag_evaluation import Report
    from kdmos_ros.io.samples import LabelledScan, Source
    from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter

# io.sources.FOLDER_DATASETS, repeated since importing it takes a second.
DATASETS = ("apollo", "argoverse2", "helimos", "nuscenes", "semantickitti")
# Of the kinds that a model should do well on: 64, 16 and 128 beams, few of them slowly, a rosette.
SENSORS = ("hdl64e", "vlp16", "os1_64", "os1_128", "pandar40", "mid360")
# Options that make sense for bags only, and for all but bags.
_BAG_OPTIONS = ("labels", "cloud", "odom", "lidar", "deskew")
_SIMULATED_OPTIONS = ("sensor", "scene", "duration", "sweep_distortion", "height", "mount_rpy")
_OWN_OPTIONS = ("dataset", "split", "rate", *_SIMULATED_OPTIONS)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose and describe what is no bag, and --sequence."""
    folders = parser.add_argument_group("data sets")
    folders.add_argument("--dataset", choices=DATASETS, help="(default: detected from the folder)")
    folders.add_argument(
        "--split",
        metavar="NAME[,NAME]",
        type=_names,
        default=[],
        help="train (00-07,09,10), val (08), test (11-21); with KITTI-road: road-train (30-34,40),"
        " road-val (35-39,41); HeLiMOS, Argoverse 2: train, val, test (default: val; apollo: test,"
        " 02 and 03); nuScenes: mini, trainval, test (default: the one there is)",
    )
    folders.add_argument(
        "--sequence",
        metavar="XX[,YY]",
        type=_names,
        default=[],
        help="score these (HeLiMOS: sensors) instead of a split; for a bag: its number in the path"
        " of the predictions (default: 00)",
    )
    folders.add_argument(
        "--rate",
        type=_rate,
        metavar="HZ",
        help="scan rate without times.txt (default: 10), or of simulated drives",
    )
    simulated = parser.add_argument_group("simulated drives")
    simulated.add_argument(
        "--sensor",
        metavar="NAME[,NAME]",
        type=_names,
        default=[],
        help=f"(default: hdl64e; with --by-sensor: {', '.join(SENSORS)})",
    )
    simulated.add_argument(
        "--scene",
        metavar="NAME[,NAME]",
        type=_names,
        default=[],
        help="street, crossing, car_park, field, pavement, queue or hall; several: each drive in"
        " each (default: drawn, one of the first four)",
    )
    simulated.add_argument(
        "--sweep-distortion", action="store_true", help="as in clouds that are not deskewed"
    )
    simulated.add_argument("--duration", type=float, metavar="S", help="seconds (default: 20)")
    simulated.add_argument(
        "--height",
        metavar="M[,M]",
        type=heights,
        default=[],
        help="of the LiDAR above the ground; several: each drive with each (default: drawn)",
    )
    simulated.add_argument("--mount-rpy", type=attitude, metavar="'R P Y'", help=ATTITUDE_HELP)


def is_bag(args: argparse.Namespace) -> bool:
    """Whether the data is a bag.

    Raises:
        KdmosError: it is one, but options are given that bags do not have.
    """
    from kdmos_ros.io.sources import SIMULATED, drive_files, folder_kind

    where: Path = args.bag
    if args.dataset or str(where).startswith(SIMULATED) or folder_kind(where) is not None:
        return False
    if drive_files(where):
        return False
    _refuse(args, _OWN_OPTIONS, "a bag")
    if len(args.sequence) > 1:
        raise KdmosError("a bag is one sequence; give one name to --sequence")
    return True


def find_sources(args: argparse.Namespace) -> list[Source]:
    """The drives that the options ask for, all opened before the first is run."""
    from kdmos_ros.io.sources import SIMULATED, open_sources

    simulated = str(args.bag).startswith(SIMULATED)
    what = "simulated drives" if simulated else "a folder"
    _refuse(args, _BAG_OPTIONS, what)
    _refuse(args, ("split", "sequence") if simulated else _SIMULATED_OPTIONS, what)
    if simulated and args.base_to_lidar is not None:
        raise KdmosError(f"--base-to-lidar does not apply to {what}")
    sources = (
        _simulated(args)
        if simulated
        else open_sources(args.bag, args.dataset, args.split, args.sequence, args.rate)
    )
    for source in sources:
        if not source.labelled and not args.predictions:
            raise KdmosError(f"{source.where} has no labels; --predictions DIR writes results")
    return sources


def _simulated(args: argparse.Namespace) -> list[Source]:
    from kdmos_ros.io.sources import open_sources
    from kdmos_ros.sim import SweepTiming
    from kdmos_ros.sim.mounting import mounted
    from kdmos_ros.sim.sensors import find_sensor

    options: dict[str, Any] = {"sweep": SweepTiming(args.sweep_distortion)}
    if args.duration is not None:
        options["duration_s"] = args.duration
    sensors = args.sensor or (SENSORS if args.by_sensor else SENSORS[:1])
    found: list[Source] = []
    for scene, name, height in product(args.scene or [None], sensors, args.height or [None]):
        sensor = mounted(find_sensor(name), height, args.mount_rpy)
        drives = open_sources(args.bag, rate_hz=args.rate, sensor=sensor, scene=scene, **options)
        for drive in drives:  # the same seeds for each
            drive.name += f":{name}" if len(sensors) > 1 else ""
            drive.name += f":{scene}" if len(args.scene) > 1 else ""
            drive.name += f":{height:g}m" if len(args.height) > 1 else ""
        found += drives
    return found


def run_sources(
    args: argparse.Namespace,
    sources: list[Source],
    segmenter: ScanSegmenter,
    report: Report,
    stack: ExitStack,
) -> None:
    """Score the drives one after the other into one report; write the predictions asked for."""
    from kdmos_ros.evaluation.source_evaluation import evaluate_source
    from kdmos_ros.io.semantickitti_writer import PredictionWriter, new_predictions
    from kdmos_ros.labels import to_benchmark
    from kdmos_ros.progress import progress

    writers: dict[str, PredictionWriter] = {}
    for source in sources if args.predictions else []:
        name = source.name.replace(":", "_")
        writers[source.name] = stack.enter_context(new_predictions(args.predictions, name))

    def write(sample: LabelledScan, labels: npt.NDArray[np.uint8]) -> None:
        sequence, _, scan = sample.name.rpartition("/")
        if writers:
            writers[sequence].add(scan, to_benchmark(labels))

    def watch(scans: Iterable[LabelledScan]) -> Iterable[LabelledScan]:
        return progress(scans, min(len(source), args.limit or len(source)), source.name)

    for source in sources:
        evaluate_source(
            source, segmenter, report, write, args.limit, watch, base_T_sensor=args.base_to_lidar
        )


def _refuse(args: argparse.Namespace, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if getattr(args, name):
            raise KdmosError(f"--{name.replace('_', '-')} does not apply to {what}")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(name and "/" not in name and not name.startswith(".") for name in names):
        raise argparse.ArgumentTypeError(f"expected names with commas between, got {text!r}")
    return names


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"expected a rate of 0 to 100 Hz, got {text!r}")
    return value
