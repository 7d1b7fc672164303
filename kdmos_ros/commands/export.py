"""`kdmos export`: a bag as SemanticKITTI sequence."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.commands._options import add_bag_options, open_bag
from kdmos_ros.errors import KdmosError, ReasonedError

if TYPE_CHECKING:
    from kdmos_ros.evaluation.bag_evaluation import LabelSource
    from kdmos_ros.io.bag_reader import BagReader


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "export",
        help="convert a bag to a SemanticKITTI sequence",
        description="Writes velodyne/, labels/, poses.txt, calib.txt and times.txt. Labels are the"
        " bag's ground truth or, if it has none, those of `kdmos label` or the node. Scans without"
        " a pose are left out and counted.",
    )
    parser.add_argument("bag", type=Path, help="bag directory, .mcap or .db3 file")
    parser.add_argument("sequence", type=Path, help="folder to write")
    parser.add_argument(
        "--labels", type=Path, metavar="DIR", help="folder of NNNNNN.label files, one per cloud"
    )
    add_bag_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit status."""
    import numpy as np

    from kdmos_ros.io.kitti_calibration import bag_calibration
    from kdmos_ros.io.semantickitti_writer import new_sequence
    from kdmos_ros.pointcloud.codec import decode
    from kdmos_ros.progress import progress
    from kdmos_ros.scan import Scan

    left_out: Counter[str] = Counter()
    written = 0
    with ExitStack() as stack:
        bag = stack.enter_context(open_bag(args.bag, args))
        source = _labels(args.labels, bag, stack)
        writer = stack.enter_context(new_sequence(args.sequence, bag_calibration(bag)))
        for index, (stamp_ns, message) in enumerate(progress(bag.clouds(), bag.n_scans, "export")):
            try:
                pose = bag.poses.at(stamp_ns) @ bag.base_T_sensor
                cloud = decode(message)
            except ReasonedError as error:
                left_out[error.reason] += 1
                continue
            n = len(cloud.points)
            labels = None if source is None else source.read(index, stamp_ns, n)
            finite = np.isfinite(cloud.points).all(axis=1, keepdims=True)
            # The format knows no NaN: "no return" is a point at the sensor.
            points = np.where(finite, cloud.points, np.float32(0))
            writer.add(Scan(points, cloud.intensity, stamp_ns, pose), labels)
            written += 1
        if not written:
            raise KdmosError(f"no scan could be exported ({_text(left_out) or 'the bag has none'})")
    print(f"{args.sequence}: {written} scans{'' if source is not None else ', no labels'}")
    if left_out:
        print(f"left out: {_text(left_out)}")
    return 0


def _labels(folder: Path | None, bag: BagReader, stack: ExitStack) -> LabelSource | None:
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.labelled_bag import LabelledClouds, labelled_topic
    from kdmos_ros.io.semantickitti import LabelFolder

    if folder is not None:
        labels = LabelFolder(folder)
        if len(labels) != bag.n_scans:
            raise KdmosError(f"{folder}: {len(labels)} label files for {bag.n_scans} scans")
        return labels
    if bag.has_ground_truth:
        return stack.enter_context(BagLabels(bag.path))
    topic = labelled_topic(bag.path)
    return stack.enter_context(LabelledClouds(bag.path, topic)) if topic else None


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
