"""A folder of clouds and poses as a bag: the same topics, frames and messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kdmos_ros.io.bag_messages import cloud_message, transform_message
from kdmos_ros.io.cloud_file import read_cloud_file
from kdmos_ros.io.cloud_folder import CloudFolder
from kdmos_ros.io.message_types import POINT_CLOUD, TF
from kdmos_ros.io.virtual_bag import (
    BASE_FRAME,
    LIDAR_FRAME,
    VirtualBag,
    VirtualTopic,
    odometry_topics,
    topic_name,
)

TF_STATIC, GROUND_TRUTH = "/tf_static", "/ground_truth"


def folder_bag(folder: CloudFolder) -> VirtualBag:
    """The folder as a bag.

    Topics: /tf_static if the mount is known, an Odometry by the name of each file of poses, the
    clouds by the name of their folder, and /ground_truth if there are labels.
    """
    stamps = folder.stamps_ns.tolist()
    topics: list[VirtualTopic] = []
    mount = folder.mount
    if mount is not None:
        static = transform_message(stamps[0], BASE_FRAME, LIDAR_FRAME, mount)
        topics.append(VirtualTopic(TF_STATIC, TF, 1, lambda: [(stamps[0], static)]))
    topics += odometry_topics(folder.trajectories, LIDAR_FRAME if mount is None else BASE_FRAME)

    def clouds() -> Iterator[tuple[int, Any]]:
        for stamp, file in zip(stamps, folder.files, strict=True):
            columns = read_cloud_file(file, folder.columns)
            yield stamp, cloud_message(stamp, LIDAR_FRAME, columns)

    def truth() -> Iterator[tuple[int, Any]]:
        for stamp, file in zip(stamps, folder.labels, strict=True):
            labels = [("label", np.fromfile(file, "<u4"))]
            yield stamp, cloud_message(stamp, LIDAR_FRAME, labels)

    name = topic_name(folder.files[0].parent.resolve().name, [t.name for t in topics])
    topics.append(VirtualTopic(name, POINT_CLOUD, len(stamps), clouds))
    if folder.labels:
        topics.append(VirtualTopic(GROUND_TRUTH, POINT_CLOUD, len(stamps), truth))
    return VirtualBag(topics)
