"""`kdmos view`: look at a drive without RViz."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdmos_ros.commands._options import (
    add_bag_options,
    add_model_options,
    add_reading_options,
    make_segmenter,
    open_bag,
)
from kdmos_ros.commands._pose_options import add_pose_source_option, pose_source
from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.visualization.pictures import LabelledFrame

_ANIMATIONS, _PICTURES = (".gif", ".webp"), (".png", ".jpg")
# More frames do not fit into a file of a few megabytes.
_MAX_FRAMES = 100
_MAX_SECONDS = 20.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "view",
        help="look at a drive without RViz",
        description="Draw a bag from above as an animation or a picture, or show it in the Rerun"
        " viewer. Uses the labelled clouds in the bag; if there are none, it labels the bag"
        " first.",
    )
    parser.add_argument("bag", type=Path, help="bag, or folder of clouds with poses")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="animation (.gif, .webp; default: animation.gif), picture (.png, .jpg) or, with"
        " --viewer rerun, recording (.rrd) to write",
    )
    parser.add_argument("--viewer", choices=("rerun",), help="open this viewer (needs a screen)")
    parser.add_argument(
        "--topic",
        help="topic of the labelled clouds, if there are several; '' (and --cloud, --pose-source"
        " kiss_icp) labels it again",
    )
    add_model_options(parser)
    add_bag_options(parser)
    add_reading_options(parser)
    add_pose_source_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw or show; returns the exit status."""
    out = _output(args)
    with ExitStack() as stack:
        bag, frames = _frames(args, stack)
        if args.viewer:
            from kdmos_ros.visualization.drive_frames import ego_path
            from kdmos_ros.visualization.rerun_viewer import show

            count = show(frames, ego_path(bag), bag.path.resolve().name, out)
        else:
            assert out is not None
            count = _draw(bag, frames, out)
    print(f"{out or 'shown'}: {count} labelled scans")
    return 0


def _output(args: argparse.Namespace) -> Path | None:
    out: Path | None = args.out
    if args.viewer:
        if out is not None and out.suffix != ".rrd":
            raise KdmosError(f"{out}: a recording for the viewer ends in .rrd")
        if out is None and not _has_screen():
            raise KdmosError("there is no screen here: write a recording with --out FILE.rrd")
        return out
    out = out or Path("animation.gif")
    if out.suffix not in _ANIMATIONS + _PICTURES:
        raise KdmosError(f"{out}: must end in {', '.join(_ANIMATIONS + _PICTURES)}")
    return out


def _has_screen() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _frames(
    args: argparse.Namespace, stack: ExitStack
) -> tuple[BagReader, Iterable[LabelledFrame]]:
    """The bag and its labelled frames, with a progress bar."""
    from kdmos_ros.io.labelled_bag import labelled_topic
    from kdmos_ros.progress import progress
    from kdmos_ros.visualization.drive_frames import labelled_frames, recorded_frames

    anew = args.topic == "" or args.cloud or args.pose_source in ("tf", "kiss_icp")
    topic = None if anew else labelled_topic(args.bag, args.topic)
    if args.topic and topic is None:
        raise KdmosError(f"{args.bag}: no labelled clouds on {args.topic}")
    if topic is not None:
        args.cloud = topic
        bag = stack.enter_context(open_bag(args.bag, args))
        step = 1 if args.viewer else _step(bag)
        frames = recorded_frames(bag, topic, step, pose_source(args, bag))
    else:
        bag = stack.enter_context(open_bag(args.bag, args))
        step = 1 if args.viewer else _step(bag)
        from kdmos_ros.pipeline.first_start import warm_up
        from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter

        segmenter = make_segmenter(args)
        warm_up(segmenter)
        frames = labelled_frames(bag, OnlineSegmenter(segmenter), step, pose_source(args, bag))
    return bag, progress(frames, -(-bag.n_scans // step), "view")


def _step(bag: BagReader) -> int:
    return 1 + (bag.n_scans - 1) // _MAX_FRAMES


def _draw(bag: BagReader, frames: Iterable[LabelledFrame], out: Path) -> int:
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.visualization.drive_frames import ego_path
    from kdmos_ros.visualization.pictures import draw_animation, draw_overview, save_animation

    path = ego_path(bag)
    if out.suffix in _PICTURES:
        kept = list(frames)
        with new_file(out) as file:
            draw_overview(lambda: iter(kept), len(kept), path).save(file)
        return len(kept)
    stamps: list[int] = []

    def noted() -> Iterable[LabelledFrame]:
        for frame in frames:
            stamps.append(frame.stamp_ns)
            yield frame

    pictures: Sequence[Any] = list(draw_animation(noted(), path))
    seconds = (max(stamps) - min(stamps)) * 1e-9 if stamps else 0.0
    with new_file(out) as file:
        save_animation(pictures, file, min(_MAX_SECONDS, max(seconds, 0.1)))
    return len(pictures)
