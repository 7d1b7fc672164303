"""A folder of clouds and poses as a bag: the same topics, frames and messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from kdmos_ros.io.bag_messages import cloud_message, odometry_message, transform_message
from kdmos_ros.io.cloud_file import read_cloud_file
from kdmos_ros.io.cloud_folder import CloudFolder
from kdmos_ros.io.message_types import ODOMETRY, POINT_CLOUD, TF, typestore
from kdmos_ros.io.trajectory_file import Trajectory

FIXED_FRAME, BASE_FRAME, LIDAR_FRAME = "odom", "base_link", "lidar"
TF_STATIC, GROUND_TRUTH = "/tf_static", "/ground_truth"


class FolderBag:
    """Reads a folder of clouds like a bag (rosbags' Reader).

    Topics: the clouds by the name of their folder, an Odometry by the name of each file of poses,
    /tf_static if the mount is known, and /ground_truth if there are labels.

    Attributes:
        connections: see rosbags' Reader.
    """

    def __init__(self, folder: CloudFolder) -> None:
        self._folder = folder
        self.connections: list[Any] = []
        self._of_topic: dict[str, Trajectory | None] = {}
        if folder.mount is not None:
            self._add(TF_STATIC, TF, 1)
        for trajectory in folder.trajectories:
            topic = self._topic(trajectory.path.stem)
            self._of_topic[topic] = trajectory
            self._add(topic, ODOMETRY, len(trajectory.poses))
        self._clouds = self._topic(folder.files[0].parent.resolve().name)
        self._add(self._clouds, POINT_CLOUD, len(folder.files))
        if folder.labels:
            self._add(GROUND_TRUTH, POINT_CLOUD, len(folder.labels))

    def messages(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, memoryview]]:
        """Connection, stamp in ns and CDR bytes, in the order of the stamps."""
        rows: list[tuple[int, int, int]] = []
        chosen = [c for c in self.connections if c in connections]
        for number, connection in enumerate(chosen):
            stamps = self._stamps(connection.topic)
            rows += [(int(stamp), number, index) for index, stamp in enumerate(stamps)]
        for stamp_ns, number, index in sorted(rows):
            connection = chosen[number]
            message = self._message(connection.topic, stamp_ns, index)
            yield connection, stamp_ns, typestore().serialize_cdr(message, connection.msgtype)

    def _stamps(self, topic: str) -> Any:
        trajectory = self._of_topic.get(topic)
        if trajectory is not None:
            return trajectory.stamps_ns
        return self._folder.stamps_ns[: 1 if topic == TF_STATIC else None]

    def _message(self, topic: str, stamp_ns: int, index: int) -> Any:
        folder = self._folder
        if topic == TF_STATIC:
            assert folder.mount is not None
            return transform_message(stamp_ns, BASE_FRAME, LIDAR_FRAME, folder.mount)
        if topic == GROUND_TRUTH:
            labels = np.fromfile(folder.labels[index], "<u4")
            return cloud_message(stamp_ns, LIDAR_FRAME, [("label", labels)])
        if (trajectory := self._of_topic.get(topic)) is not None:
            child = LIDAR_FRAME if folder.mount is None else BASE_FRAME
            return odometry_message(stamp_ns, FIXED_FRAME, child, trajectory.poses[index])
        columns = read_cloud_file(folder.files[index], folder.columns)
        return cloud_message(stamp_ns, LIDAR_FRAME, columns)

    def _add(self, topic: str, msgtype: str, count: int) -> None:
        from rosbags.interfaces import (
            Connection,
            ConnectionExtRosbag2,
            MessageDefinition,
            MessageDefinitionFormat,
        )

        nothing = MessageDefinition(MessageDefinitionFormat.NONE, "")
        extra = ConnectionExtRosbag2("cdr", [])
        number = len(self.connections)
        self.connections.append(Connection(number, topic, msgtype, nothing, "", count, extra, self))

    def _topic(self, name: str) -> str:
        """A topic of that name that is not taken."""
        topic = "/" + (re.sub(r"\W", "_", name, flags=re.ASCII) or "points")
        topic = f"/_{topic[1:]}" if topic[1].isdigit() else topic
        while any(c.topic == topic for c in self.connections):
            topic += "_"
        return topic
