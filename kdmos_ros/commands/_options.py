"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import (
    AUTO,
    DESKEW_CHOICES,
    MAX_LOOKAHEAD,
    PARAMETERS,
    PRECISION_CHOICES,
    PROVIDER_CHOICES,
    PROVIDERS,
)

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.io.open_bag import BagOptions
    from kdmos_ros.segmentation.segmenter import Segmenter


_NEGATIVE = re.compile(r"-\.?\d")
_STORAGE_SUFFIXES = (".mcap", ".db3", ".bag", ".pcap", ".osf")


def bag_name(path: Path) -> str:
    """Name of a bag, without the suffix of a single file."""
    path = path.resolve()
    return path.stem if path.suffix in _STORAGE_SUFFIXES else path.name


def add_bag_options(parser: argparse.ArgumentParser) -> None:
    """--cloud, --frame, --odom and --base-to-lidar."""
    parser.add_argument("--cloud", metavar="TOPIC", help="PointCloud2 topic, if there are several")
    parser.add_argument(
        "--frame",
        metavar="FRAME",
        default="",
        help="take the clouds in this frame only, if several LiDARs share the topic",
    )
    parser.add_argument(
        "--odom", metavar="TOPIC", help="topic of the poses, if not the only Odometry"
    )
    parser.add_argument(
        "--base-to-lidar",
        type=parse_mount,
        metavar="X,Y,Z[,ROLL,PITCH,YAW]",
        help="mount of the LiDAR on the base, metres and radians, instead of /tf_static",
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """--lidar and --deskew."""
    parser.add_argument(
        "--lidar",
        metavar="NAME",
        help="kind of LiDAR, as the launch argument sensor: velodyne, ouster ... or a .yaml file",
    )
    parser.add_argument(
        "--deskew",
        nargs="?",
        choices=DESKEW_CHOICES,
        const="true",
        help="deskew the clouds by the time of each point: auto (default: where they have usable"
        " times), true (drop those without), false",
    )


def spell_out(words: Sequence[str]) -> list[str]:
    """A command line as argparse understands it.

    A "--deskew" that stands alone becomes "--deskew=true". Negative numbers are joined to their
    option: "--base-to-lidar -1,0,2" would be taken for two options.
    """
    spelt: list[str] = []
    for word, after in zip(words, [*words, ""][1:], strict=True):
        if _NEGATIVE.match(word) and spelt and spelt[-1].startswith("--") and "=" not in spelt[-1]:
            spelt[-1] += f"={word}"
        elif word == "--deskew" and after not in DESKEW_CHOICES:
            spelt.append("--deskew=true")
        else:
            spelt.append(word)
    return spelt


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model, --provider, --provider-options, --precision, --threads and --footprint."""
    parser.add_argument("--model", help="model folder, or name of a shipped model")
    parser.add_argument(
        "--provider", choices=PROVIDER_CHOICES, default=AUTO, help="where to run it (default: auto)"
    )
    add_provider_options(parser)
    parser.add_argument(
        "--precision",
        choices=PRECISION_CHOICES,
        default=AUTO,
        help="precision of the grid network (default: the fastest that the model has for the"
        " provider)",
    )
    parser.add_argument(
        "--threads",
        type=count,
        default=PARAMETERS["num_threads"],
        metavar="N",
        help="CPU threads; 0: all usable cores",
    )
    parser.add_argument(
        "--footprint",
        default=PARAMETERS["footprint"],
        metavar="X_MIN,X_MAX,Y_MIN,Y_MAX",
        help="outline of the vehicle in the base frame, metres, none of which moves; auto"
        " (default): learned from what travels with the LiDAR; none",
    )


def shown_command(words: Sequence[str], without: Mapping[str, int]) -> str:
    """A command line as others can type it: absolute paths cut short, some options left out.

    Args:
        words: after "kdmos".
        without: options to leave out, and how many values each has.
    """
    shown = ["kdmos"]
    for word in without_options(words, without):
        option, equals, value = word.rpartition("=")
        short = "/".join(Path(value).parts[-2:]) if value.startswith("/") else value
        shown.append(f"{option}{equals}{short}")
    return shlex.join(shown)


def without_options(words: Sequence[str], without: Mapping[str, int]) -> list[str]:
    """A command line without some options, given with how many values each has."""
    kept = []
    rest = iter(words)
    for word in rest:
        option, equals, _ = word.partition("=")
        if option not in without:
            kept.append(word)
        elif not equals:
            for _ in range(without[option]):
                next(rest, None)
    return kept


def bag_options(args: argparse.Namespace) -> BagOptions:
    """How the options say that a bag is to be read."""
    from kdmos_ros.io.open_bag import BagOptions

    return BagOptions(
        args.cloud,
        args.odom,
        args.base_to_lidar,
        getattr(args, "pose_source", "odometry"),
        getattr(args, "fixed_frame", PARAMETERS["fixed_frame"]),
        getattr(args, "lidar", None),
        getattr(args, "frame", ""),
        getattr(args, "deskew", None),
    )


def open_bag(path: Path, args: argparse.Namespace) -> BagReader:
    """The bag, read as the options say. What is to be said of its poses goes to stderr."""
    from kdmos_ros.io import open_bag as io

    bag = io.open_bag(path, bag_options(args))
    if bag.about:
        print(f"kdmos: {bag.path}: {bag.about}", file=sys.stderr)
    for note in bag.notes:
        print(f"kdmos: warning: {bag.path}: {note}", file=sys.stderr)
    return bag


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    """--provider-options."""
    parser.add_argument(
        "--provider-options",
        default="",
        metavar="NAME=VALUE,...",
        help="device, binding, cuda_graphs, cache: see docs/providers.md",
    )


def make_segmenter(args: argparse.Namespace, num_threads: int | None = None) -> Segmenter:
    """The segmenter that the options ask for. What is to be said of its provider goes to stderr.

    Args:
        num_threads: instead of the options' threads.
    """
    segmenter = _segmenter(args, num_threads)
    if segmenter.note:
        print(f"kdmos: warning: {segmenter.note}", file=sys.stderr)
    return segmenter


def _segmenter(args: argparse.Namespace, num_threads: int | None = None) -> Segmenter:
    from kdmos_ros.segmentation.segmenter import Segmenter

    return Segmenter(
        model_folder(args.model),
        provider=args.provider,
        num_threads=args.threads if num_threads is None else num_threads,
        precision=args.precision,
        provider_options=args.provider_options,
        footprint=args.footprint,
    )


def make_segmenters(args: argparse.Namespace) -> list[Segmenter]:
    """Segmenters for scans side by side, which on a CPU takes less than all threads for each."""
    from kdmos_ros.thread_pool import thread_count

    first = _segmenter(args, 1)
    if first.provider != PROVIDERS["cpu"]:
        return [make_segmenter(args)]
    threads = thread_count(args.threads)
    return [first, *(_segmenter(args, 1) for _ in range(threads - 1))]


def model_folder(name: str | None) -> Path:
    """Folder of a model given by path or by the name of a shipped one; None: the default.

    Raises:
        ModelError: there is no such model.
    """
    from kdmos_ros.inference.model import find_model

    return find_model(name) if name else find_model()


def parse_mount(text: str) -> npt.NDArray[np.float64]:
    """T_base_sensor (4, 4) of "x,y,z", "x,y,z,roll,pitch,yaw" or "x,y,z,qx,qy,qz,qw"."""
    from kdmos_ros.geometry.mount import parse_transform

    try:
        matrix = parse_transform(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if matrix is None:
        raise argparse.ArgumentTypeError("needs 3, 6 or 7 numbers")
    return matrix


def count(text: str) -> int:
    """A whole number, not negative."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def delays(text: str) -> tuple[int, ...]:
    """A number of scans to wait for, or a range of them: "3" or "0-7"."""
    first, dash, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() if dash else True)):
        raise argparse.ArgumentTypeError(f"expected a number of scans or A-B, got {text!r}")
    low, high = int(first), int(last or first)
    if not low <= high <= MAX_LOOKAHEAD:
        raise argparse.ArgumentTypeError(f"expected 0..{MAX_LOOKAHEAD} scans, got {text!r}")
    return tuple(range(low, high + 1))


def delay(text: str) -> int:
    """A number of scans to wait for."""
    if not text.isdigit() or int(text) > MAX_LOOKAHEAD:
        raise argparse.ArgumentTypeError(f"expected 0..{MAX_LOOKAHEAD} scans, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
