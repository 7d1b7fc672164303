"""Bags of raw packets, one a message: the clouds that they make are a topic beside them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.io import ouster, zstd
from kdmos_ros.io.bag_messages import cloud_message
from kdmos_ros.io.message_types import CLOUDS, POINT_CLOUD, typestore
from kdmos_ros.io.virtual_bag import virtual_connection

_STRING = "std_msgs/msg/String"
_counts: dict[tuple[Path, str, int, int], int] = {}


def with_clouds(readers: list[Any], path: Path) -> list[Any]:
    """The readers of a bag; as one that has clouds too, if there are raw packets and no clouds.

    Raises:
        ModuleNotFoundError: ouster-sdk is not installed.
        KdmosError: the sensor's settings are missing.
    """
    connections = [c for reader in readers for c in reader.connections]
    packets = sorted({c.topic for c in connections if _is_lidar(c)})
    if not packets or any(c.msgtype in CLOUDS and c.msgcount for c in connections):
        return readers
    return [PacketBag(readers, packets, path)]


class PacketBag:
    """The readers of a bag with the topic `points` beside each topic `lidar_packets` of Ouster.

    Attributes:
        connections: see rosbags' Reader; those of all readers, and of the clouds.
    """

    def __init__(self, readers: list[Any], topics: list[str], path: Path) -> None:
        self._readers, self._path = readers, path
        self.connections = [c for reader in readers for c in reader.connections]
        self._source: dict[str, str] = {}
        self._metadata: dict[str, str] = {}
        for topic in topics:
            self._metadata[topic] = self._settings(topic)
            count = self._count(topic)
            name = f"{topic.rpartition('/')[0]}/points"
            self._source[name] = topic
            number = len(self.connections)
            self.connections.append(virtual_connection(number, name, POINT_CLOUD, count, self))

    def messages(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, Any]]:
        """Connection, time of recording in ns and CDR bytes."""
        topics = {c.topic for c in connections}
        made = {self._source[c.topic]: c for c in connections if c.topic in self._source}
        for topic, connection in made.items():
            if topics == {connection.topic}:
                yield from self._clouds(topic, connection)
                return
        yield from self._raw_and_clouds(topics, made)

    def packets(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """Time of recording in ns and bytes of the packets of a topic."""
        return ((time, _packet(c, data)) for c, time, data in self._raw({topic}))

    def decoder(self, topic: str) -> ouster.OusterDecoder:
        """A decoder for the packets of a topic."""
        try:
            return ouster.OusterDecoder(self._metadata[topic])
        except (RuntimeError, ValueError) as error:
            raise KdmosError(
                f"{self._path}: the settings for {topic} are none of an Ouster: {error}"
            ) from error

    def _raw(self, topics: Collection[str]) -> Iterator[tuple[Any, int, Any]]:
        for reader in self._readers:
            chosen = [c for c in reader.connections if c.topic in topics]
            if chosen:
                yield from reader.messages(chosen)

    def _clouds(self, topic: str, connection: Any) -> Iterator[tuple[Any, int, Any]]:
        for cloud in self.decoder(topic).decode(self.packets(topic)):
            message = cloud_message(cloud.stamp_ns, ouster.FRAME, cloud.columns)
            data = typestore().serialize_cdr(message, POINT_CLOUD)
            yield connection, cloud.recorded_ns, data

    def _raw_and_clouds(
        self, topics: Collection[str], made: dict[str, Any]
    ) -> Iterator[tuple[Any, int, Any]]:
        """Both by the time of recording; each topic of packets is read once more for its clouds."""
        streams = [self._clouds(topic, connection) for topic, connection in made.items()]
        return heapq.merge(self._raw(topics), *streams, key=lambda row: row[1])

    def _count(self, topic: str) -> int:
        """Clouds of a topic, counted once however often the bag is opened."""
        status = self._path.stat()
        key = (self._path.resolve(), topic, status.st_size, status.st_mtime_ns)
        if key not in _counts:
            _counts[key] = self.decoder(topic).count(self.packets(topic))
        return _counts[key]

    def _settings(self, topic: str) -> str:
        """The sensor's settings: of the topic `metadata`, or of a .json file beside the bag."""
        wanted = f"{topic.rpartition('/')[0]}/metadata"
        known = [c for c in self.connections if c.topic == wanted and c.msgtype == _STRING]
        for connection, _, data in self._raw({c.topic for c in known}):
            if data[:4] == zstd.MAGIC:
                data = zstd.decompress(data)
            return str(typestore().deserialize_cdr(data, connection.msgtype).data)
        folder = self._path if self._path.is_dir() else self._path.parent
        files = sorted(folder.glob("*.json"))
        if len(files) != 1:
            raise KdmosError(
                f"{self._path}: {topic} holds raw packets, but there is no topic {wanted} with the"
                f" sensor's settings, and {len(files)} .json files in {folder}: put the sensor's"
                " there"
            )
        return files[0].read_text(encoding="utf-8")


def _is_lidar(connection: Any) -> bool:
    """Whether these are a LiDAR's packets; the driver sends those of its IMU beside them."""
    return (
        connection.msgtype in ouster.PACKETS
        and connection.msgcount > 0
        and "imu" not in connection.topic.rpartition("/")[2]
    )


def _packet(connection: Any, data: Any) -> bytes:
    if data[:4] == zstd.MAGIC:
        data = zstd.decompress(data)
    return bytes(typestore().deserialize_cdr(data, ouster.PACKETS[0]).buf)
