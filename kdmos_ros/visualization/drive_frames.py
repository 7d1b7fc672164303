"""A bag as labelled frames to look at: answers that it holds, or made on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import ReasonedError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.labelled_bag import LabelledClouds
from kdmos_ros.pipeline.replay import bag_localizer, replay
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses.pose_messages import frame_of
from kdmos_ros.poses.pose_source import PoseSource, StampedCloud
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.visualization.pictures import LabelledFrame


def recorded_frames(
    bag: BagReader, topic: str, step: int = 1, poses: PoseSource | None = None
) -> Iterator[LabelledFrame]:
    """Every `step`-th labelled cloud of a topic; those without a pose are left out."""
    localizer = bag_localizer(bag, poses)
    with LabelledClouds(bag.path, topic) as clouds:
        for number, (stamp_ns, message, labels) in enumerate(clouds):
            try:
                points = decode(message).points
                frame = frame_of(message.header.frame_id)
                location = localizer.locate(StampedCloud(stamp_ns, frame, points))
            except ReasonedError:
                continue
            if number % step == 0:
                mount = (
                    bag.base_T_sensor if location.base_T_lidar is None else location.base_T_lidar
                )
                yield LabelledFrame(points, labels, location.pose, mount, stamp_ns)


def labelled_frames(
    bag: BagReader, segmenter: ScanSegmenter, step: int = 1, poses: PoseSource | None = None
) -> Iterator[LabelledFrame]:
    """Every `step`-th cloud, labelled with the history that all of them give; see `replay`."""
    for replayed in replay(bag, segmenter, poses=poses):
        scan = replayed.scan
        if replayed.labels is None or scan is None or replayed.index % step:
            continue
        mount = bag.base_T_sensor if scan.base_T_sensor is None else scan.base_T_sensor
        yield LabelledFrame(scan.points, replayed.labels, scan.pose, mount, replayed.stamp_ns)


def ego_path(bag: BagReader) -> npt.NDArray[np.float64]:
    """Positions (K, 3) of the base in odom; none without odometry."""
    return np.array([pose[:3, 3] for _, pose in bag.odometry]).reshape(-1, 3)
