"""A bag as labelled frames to look at: answers that it holds, or made on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import ReasonedError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.labelled_bag import LabelledClouds
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.visualization.pictures import LabelledFrame


def recorded_frames(bag: BagReader, topic: str, step: int = 1) -> Iterator[LabelledFrame]:
    """Every `step`-th labelled cloud of a topic; those without a pose are left out."""
    with LabelledClouds(bag.path, topic) as clouds:
        for number, (stamp_ns, message, labels) in enumerate(clouds):
            if number % step:
                continue
            try:
                pose = bag.poses.at(stamp_ns) @ bag.base_T_sensor
                points = decode(message).points
            except ReasonedError:
                continue
            yield LabelledFrame(points, labels, pose, bag.base_T_sensor, stamp_ns)


def labelled_frames(
    bag: BagReader, segmenter: ScanSegmenter, step: int = 1, poses: PoseSource | None = None
) -> Iterator[LabelledFrame]:
    """Every `step`-th cloud, labelled with the history that all of them give; see `replay`."""
    for replayed in replay(bag, segmenter, poses=poses):
        scan = replayed.scan
        if replayed.labels is None or scan is None or replayed.index % step:
            continue
        yield LabelledFrame(
            scan.points, replayed.labels, scan.pose, bag.base_T_sensor, replayed.stamp_ns
        )


def ego_path(bag: BagReader) -> npt.NDArray[np.float64]:
    """Positions (K, 3) of the base in odom; none without odometry."""
    return np.array([pose[:3, 3] for _, pose in bag.odometry]).reshape(-1, 3)
