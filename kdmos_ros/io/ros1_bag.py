"""A ROS 1 .bag file, with its messages as ROS 2 has them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from kdmos_ros.closing import Closing

# rosbags gives types as package/msg/Name; these have moved.
_RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}


class Ros1Bag(Closing):
    """Reads the topics whose types ROS 2 has too.

    Args:
        path: .bag file.
        typestore: the types that are known, see `bag_file.typestore`.

    Attributes:
        connections: see rosbags' Reader; without definitions, which are those of ROS 1.

    Raises:
        Exception: of many kinds, as the library does: it is damaged.
    """

    def __init__(self, path: Path, typestore: Any) -> None:
        from rosbags.interfaces import (
            ConnectionExtRosbag2,
            MessageDefinition,
            MessageDefinitionFormat,
        )
        from rosbags.rosbag1 import Reader

        self._typestore = typestore
        self._reader = Reader(path)
        self._reader.open()
        nothing = MessageDefinition(MessageDefinitionFormat.NONE, "")
        self._sources = {c.id: c for c in self._reader.connections}
        self.connections = [
            c._replace(
                msgtype=_RENAMED.get(c.msgtype, c.msgtype),
                msgdef=nothing,
                digest="",
                ext=ConnectionExtRosbag2("cdr", []),
            )
            for c in self._reader.connections
        ]

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, memoryview]]:
        """Connection, time of recording in ns, and CDR bytes."""
        known = {c.id: c for c in connections if c.msgtype in self._typestore.fielddefs}
        sources = [self._sources[number] for number in known]
        if not sources:
            return
        for source, time, data in self._reader.messages(sources):
            connection = known[source.id]
            yield connection, time, self._typestore.ros1_to_cdr(data, connection.msgtype)
