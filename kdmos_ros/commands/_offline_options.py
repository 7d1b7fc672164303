"""Options for labels by the teacher, which knows what comes after each scan."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kdmos_ros.commands._options import make_segmenters
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.train.fitting.offline_segmenter import OfflineSegmenter

DEFAULT_TEACHER = "kdmos_teacher"


def add_offline_options(parser: argparse.ArgumentParser) -> None:
    """--offline, --teacher and --teacher-alone."""
    group = parser.add_argument_group("offline")
    group.add_argument(
        "--offline",
        action="store_true",
        help="label by the teacher, which also sees what comes after each scan, together with the"
        " model; slower and more accurate; needs PyTorch",
    )
    group.add_argument(
        "--teacher",
        metavar="NAME",
        help=f"teacher's folder, or name of a shipped one (default: {DEFAULT_TEACHER})",
    )
    group.add_argument(
        "--teacher-alone", action="store_true", help="without the model's opinion, to score it"
    )


def check_offline_options(args: argparse.Namespace) -> None:
    """KdmosError if options are given that do not go together."""
    if not args.offline and (args.teacher or args.teacher_alone):
        raise KdmosError("--teacher and --teacher-alone need --offline")
    ahead = args.lookahead if isinstance(args.lookahead, int) else max(args.lookahead)
    if args.offline and ahead:
        raise KdmosError("--offline sees what comes after each scan anyway: leave out --lookahead")


def make_offline(args: argparse.Namespace) -> OfflineSegmenter:
    """The segmenter that the options ask for.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
        KdmosError: the teacher or the model cannot be used.
    """
    from kdmos_ros.train.fitting.offline_segmenter import OfflineSegmenter

    teacher = args.teacher or DEFAULT_TEACHER
    return OfflineSegmenter(teacher, make_segmenters(args), args.teacher_alone)
