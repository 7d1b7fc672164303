"""What is no bag, as one: topics with messages that are made while they are read."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kdmos_ros.io.bag_messages import odometry_message
from kdmos_ros.io.message_types import ODOMETRY, typestore
from kdmos_ros.io.trajectory_file import Trajectory

FIXED_FRAME, BASE_FRAME, LIDAR_FRAME = "odom", "base_link", "lidar"


@dataclass(frozen=True)
class VirtualTopic:
    """A topic.

    Attributes:
        count: of messages.
        messages: gives stamps in ns and messages, in the order of the stamps.
    """

    name: str
    msgtype: str
    count: int
    messages: Callable[[], Iterable[tuple[int, Any]]]


class VirtualBag:
    """Topics as a bag (rosbags' Reader).

    Args:
        topics: of messages with the same stamp, those of earlier topics come first.

    Attributes:
        connections: see rosbags' Reader.
    """

    def __init__(self, topics: list[VirtualTopic]) -> None:
        self._topics = topics
        self.connections = [
            virtual_connection(number, topic.name, topic.msgtype, topic.count, self)
            for number, topic in enumerate(topics)
        ]

    def messages(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, memoryview]]:
        """Connection, stamp in ns and CDR bytes, in the order of the stamps."""
        wanted = {c.topic for c in connections}
        sources = [
            _numbered(c.id, topic)
            for c, topic in zip(self.connections, self._topics, strict=True)
            if c.topic in wanted
        ]
        for stamp_ns, number, message in heapq.merge(*sources, key=lambda row: row[:2]):
            connection = self.connections[number]
            yield connection, stamp_ns, typestore().serialize_cdr(message, connection.msgtype)


def _numbered(number: int, topic: VirtualTopic) -> Iterator[tuple[int, int, Any]]:
    return ((stamp_ns, number, message) for stamp_ns, message in topic.messages())


def virtual_connection(number: int, topic: str, msgtype: str, count: int, owner: object) -> Any:
    """The library's description of a topic, without a definition of its own."""
    from rosbags.interfaces import (
        Connection,
        ConnectionExtRosbag2,
        MessageDefinition,
        MessageDefinitionFormat,
    )

    nothing = MessageDefinition(MessageDefinitionFormat.NONE, "")
    extra = ConnectionExtRosbag2("cdr", [])
    return Connection(number, topic, msgtype, nothing, "", count, extra, owner)


def odometry_topics(trajectories: list[Trajectory], child: str) -> list[VirtualTopic]:
    """An Odometry of the name of each file of poses."""
    taken: list[str] = []
    found = []
    for trajectory in trajectories:
        name = topic_name(trajectory.path.stem, taken)
        taken.append(name)
        messages = partial(_odometry, trajectory, child)
        found.append(VirtualTopic(name, ODOMETRY, len(trajectory.poses), messages))
    return found


def _odometry(trajectory: Trajectory, child: str) -> Iterator[tuple[int, Any]]:
    assert trajectory.stamps_ns is not None  # they are the clouds' where it has none of its own
    for stamp, pose in zip(trajectory.stamps_ns.tolist(), trajectory.poses, strict=True):
        yield stamp, odometry_message(stamp, FIXED_FRAME, child, pose)


def topic_name(name: str, taken: Collection[str]) -> str:
    """A topic of a file's or folder's name that is not taken."""
    topic = re.sub(r"\W", "_", name, flags=re.ASCII) or "points"
    topic = f"/_{topic}" if topic[0].isdigit() else f"/{topic}"
    while topic in taken:
        topic += "_"
    return topic
