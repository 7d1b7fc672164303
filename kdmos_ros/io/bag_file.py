"""A rosbag2 as topics and serialised messages; every failure becomes one clear line.

Reads directories and single .mcap or .db3 files, plain or zstd-compressed, through the `rosbags`
library, so no ROS is needed. Of a bag that was cut off it reads what is there. A folder of clouds
with poses is read as if it were a bag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdmos_ros.closing import Closing
from kdmos_ros.defaults import FIXED_FRAMES
from kdmos_ros.errors import KdmosError
from kdmos_ros.io import velodyne, zstd
from kdmos_ros.io.bag_messages import velodyne_cloud
from kdmos_ros.io.bag_storage import BagError, first_line, open_storage, unreadable, warn_of_cut
from kdmos_ros.io.message_types import (
    CLOUDS,
    DIAGNOSTICS,
    ODOMETRY,
    POINT_CLOUD,
    TF,
    livox_cloud,
    packed_message,
    typestore,
)
from kdmos_ros.io.packet_bag import with_clouds
from kdmos_ros.io.packet_types import converter
from kdmos_ros.pointcloud import livox
from kdmos_ros.pointcloud.codec import PROBABILITY_FIELD
from kdmos_ros.poses.pose_messages import frame_of

__all__ = [
    "CLOUDS",
    "DIAGNOSTICS",
    "ODOMETRY",
    "POINT_CLOUD",
    "TF",
    "BagError",
    "BagFile",
    "RawMessage",
    "Topic",
    "decode_cdr",
    "packed_message",
    "typestore",
]


class RawMessage(NamedTuple):
    """One message: topic, type, time of recording (ns) and CDR bytes."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes | memoryview


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: name, message type and number of messages."""

    name: str
    msgtype: str
    count: int


def decode_cdr(message: RawMessage) -> Any:
    """The message as an object with the attributes of its ROS type.

    Clouds come as PointCloud2, Livox's CustomMsg and Velodyne's scans of packets too.

    Raises:
        BagError: the bytes are not a message of that type.
    """
    try:
        if message.msgtype in livox.CUSTOM_MESSAGES:
            return livox_cloud(message.data)
        if message.msgtype == velodyne.SCAN:
            return velodyne_cloud(message.data, message.topic)
        return typestore().deserialize_cdr(message.data, message.msgtype)
    except (KdmosError, ModuleNotFoundError):
        raise
    except Exception as error:  # the library raises whatever the broken bytes lead to
        raise BagError(
            f"message on {message.topic} at {message.stamp_ns} ns is no valid {message.msgtype}"
            f" ({first_line(error)})"
        ) from error


class BagFile(Closing):
    """A bag opened for reading; use it in a `with` statement.

    Args:
        path: bag directory, .mcap or .db3 file, or what else `bag_storage` opens.

    Attributes:
        about: what was found where there is no bag but files of clouds, one line; else empty.
        no_poses, misfits: see Storage.

    Raises:
        BagError: nothing there, not a bag, or nothing of it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            storage = open_storage(self.path, stack)
            self._readers = with_clouds(storage.readers, self.path)
            self.about, self.no_poses = storage.about, storage.no_poses
            self.misfits = storage.misfits
            # The library forgets them when it is closed.
            self._connections = tuple(c for reader in self._readers for c in reader.connections)
            counts: dict[tuple[str, str], int] = {}
            for connection in self._connections:
                key = connection.topic, connection.msgtype
                counts[key] = counts.get(key, 0) + connection.msgcount
            self.topics = tuple(
                Topic(name, msgtype, count) for (name, msgtype), count in counts.items()
            )
            clouds = sum(t.count for t in self.topics if t.msgtype in CLOUDS)
            warn_of_cut(storage, clouds, sum(t.count for t in self.topics))
            self._files = stack.pop_all()

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        self._files.close()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Messages of the topics (default: all) in order of recording.

        Raises:
            BagError: the file is damaged from here on.
        """
        for reader in self._readers:
            connections = [c for c in reader.connections if topics is None or c.topic in topics]
            if connections:
                yield from self._messages(reader.messages(connections))

    def _messages(self, source: Iterator[tuple[Any, int, bytes]]) -> Iterator[RawMessage]:
        while True:
            try:
                connection, stamp_ns, data = next(source)
                if data[:4] == zstd.MAGIC:  # one file of a bag whose messages are compressed
                    data = zstd.decompress(data)
            except StopIteration:
                return
            except (KdmosError, ModuleNotFoundError):
                raise
            except Exception as error:  # zstd, sqlite, struct, ...: all mean a damaged file
                raise unreadable(self.path, error) from error
            yield RawMessage(connection.topic, connection.msgtype, stamp_ns, data)

    @property
    def connections(self) -> tuple[Any, ...]:
        """The library's descriptions of the topics: definition, hash, QoS (rosbags Connection)."""
        return self._connections

    def choose_topic(self, msgtype: str, wanted: str | None, option: str) -> str:
        """The topic to use: the wanted one, or the only one of its type that has messages.

        Args:
            msgtype: message type that the topic must have; POINT_CLOUD: any of CLOUDS.
            wanted: name given by the user, or None to find it.
            option: how the user names a topic, e.g. "--cloud"; used in the error.

        Raises:
            BagError: there is none, or more than one; the message lists the candidates.
        """
        wanted_types = CLOUDS if msgtype == POINT_CLOUD else (msgtype,)
        candidates = [t for t in self.topics if t.msgtype in wanted_types]
        if wanted is not None:
            name = "/" + wanted.strip("/")
            if not any(t.name == name for t in self.topics):
                raise BagError(f"{self.path}: no topic {name}; the bag has {self._list()}")
            if not any(t.name == name for t in candidates):
                found = next(t.msgtype for t in self.topics if t.name == name)
                self._refuse_packets(msgtype, name)
                raise BagError(f"{self.path}: topic {name} is {found}, not {msgtype}")
            candidates = [t for t in candidates if t.name == name]
        elif not candidates:
            if msgtype == ODOMETRY and (why := self.misfits or self.no_poses):
                raise BagError(
                    f"{self.path}: {why}; mend or add one, or use --pose-source kiss_icp"
                )
            self._refuse_packets(msgtype, None)
            raise BagError(f"{self.path}: no {msgtype} topic; the bag has {self._list()}")
        filled = [t for t in candidates if t.count > 0]
        if not filled:
            names = ", ".join(t.name for t in candidates)
            raise BagError(f"{self.path}: no messages on {names} ({msgtype})")
        if len(filled) > 1 and msgtype == POINT_CLOUD:
            filled = [t for t in filled if self._is_sensor_data(t.name)] or filled
        if len(filled) > 1:
            names = ", ".join(t.name for t in filled)
            raise BagError(
                f"{self.path}: several {msgtype} topics, choose one with {option}: {names}"
            )
        self._check_definition(filled[0].name)
        return filled[0].name

    def cloud_fields(self, topic: str) -> frozenset[str]:
        """Names of the fields of a PointCloud2 topic's first message."""
        first = next(self.messages([topic]), None)
        return frozenset(f.name for f in decode_cdr(first).fields) if first else frozenset()

    def _check_definition(self, topic: str) -> None:
        for c in self._connections:
            known = c.msgtype not in livox.CUSTOM_MESSAGES or livox.has_known_points(c.msgdef.data)
            if c.topic == topic and not known:
                raise BagError(f"{self.path}: {topic} has points of an unknown kind of {c.msgtype}")

    def _refuse_packets(self, msgtype: str, name: str | None) -> None:
        """Raise what is to be done with raw packets where clouds are wanted."""
        for topic in self.topics if msgtype == POINT_CLOUD else ():
            if name in (None, topic.name) and (remedy := converter(topic.msgtype)):
                raise BagError(f"{self.path}: {topic.name} ({topic.msgtype}) holds {remedy}")

    def _is_sensor_data(self, topic: str) -> bool:
        # Ground truth of a simulated drive has labels only, an answer of the node has them too;
        # maps and registered clouds are in a fixed frame.
        first = next(self.messages([topic]), None)
        registered = first and frame_of(decode_cdr(first).header.frame_id) in FIXED_FRAMES
        names = self.cloud_fields(topic)
        return names >= {"x", "y", "z"} and PROBABILITY_FIELD not in names and not registered

    def _list(self) -> str:
        listed = ", ".join(f"{t.name} ({t.msgtype})" for t in self.topics)
        return listed or "no topics"
