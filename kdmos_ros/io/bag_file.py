"""A rosbag2 as topics and serialised messages; every failure becomes one clear line.

Reads directories with metadata.yaml and single .mcap or .db3 files, plain or zstd-compressed,
through the `rosbags` library, so no ROS is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from kdmos_ros.closing import Closing
from kdmos_ros.errors import KdmosError
from kdmos_ros.pointcloud.codec import PROBABILITY_FIELD

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
ODOMETRY = "nav_msgs/msg/Odometry"
TF = "tf2_msgs/msg/TFMessage"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


class BagError(KdmosError):
    """A bag that cannot be read or written."""


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


@lru_cache(maxsize=1)
def typestore() -> Any:
    """Message definitions of the common packages, tf2_msgs among them (rosbags typestore)."""
    from rosbags.typesys import Stores, get_typestore

    # The messages used here are the same from Humble on; a newer store adds nothing.
    return get_typestore(Stores.ROS2_JAZZY)


def decode_cdr(message: RawMessage) -> Any:
    """The message as an object with the attributes of its ROS type.

    Raises:
        BagError: the bytes are not a message of that type.
    """
    try:
        return typestore().deserialize_cdr(message.data, message.msgtype)
    except Exception as error:  # the library raises whatever the broken bytes lead to
        raise BagError(
            f"message on {message.topic} at {message.stamp_ns} ns is no valid {message.msgtype}"
            f" ({_first_line(error)})"
        ) from error


class BagFile(Closing):
    """A bag opened for reading; use it in a `with` statement.

    Args:
        path: bag directory, .mcap or .db3 file.

    Raises:
        BagError: nothing there, not a bag, damaged or truncated.
    """

    def __init__(self, path: str | Path) -> None:
        from rosbags.rosbag2 import Reader

        self.path = Path(path)
        storage = _storage_path(self.path)
        try:
            self._reader = Reader(storage)
            self._reader.open()
        except Exception as error:
            raise self._unreadable(error) from error
        counts: dict[tuple[str, str], int] = {}
        for connection in self._reader.connections:
            key = connection.topic, connection.msgtype
            counts[key] = counts.get(key, 0) + connection.msgcount
        self.topics = tuple(
            Topic(name, msgtype, count) for (name, msgtype), count in counts.items()
        )

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        if self._reader.is_open:
            self._reader.close()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Messages of the topics (default: all) in order of recording.

        Raises:
            BagError: the file is damaged from here on.
        """
        connections = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if not connections:
            return
        source = self._reader.messages(connections)
        while True:
            try:
                connection, stamp_ns, data = next(source)
            except StopIteration:
                return
            except Exception as error:  # zstd, sqlite, struct, ...: all mean a damaged file
                raise self._unreadable(error) from error
            yield RawMessage(connection.topic, connection.msgtype, stamp_ns, data)

    @property
    def connections(self) -> tuple[Any, ...]:
        """The library's descriptions of the topics: definition, hash, QoS (rosbags Connection)."""
        return tuple(self._reader.connections)

    def choose_topic(self, msgtype: str, wanted: str | None, option: str) -> str:
        """The topic to use: the wanted one, or the only one of its type that has messages.

        Args:
            msgtype: message type that the topic must have.
            wanted: name given by the user, or None to find it.
            option: how the user names a topic, e.g. "--cloud"; used in the error.

        Raises:
            BagError: there is none, or more than one; the message lists the candidates.
        """
        candidates = [t for t in self.topics if t.msgtype == msgtype]
        if wanted is not None:
            name = "/" + wanted.strip("/")
            if not any(t.name == name for t in self.topics):
                raise BagError(f"{self.path}: no topic {name}; the bag has {self._list()}")
            if not any(t.name == name for t in candidates):
                found = next(t.msgtype for t in self.topics if t.name == name)
                raise BagError(f"{self.path}: topic {name} is {found}, not {msgtype}")
            candidates = [t for t in candidates if t.name == name]
        elif not candidates:
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
        return filled[0].name

    def cloud_fields(self, topic: str) -> frozenset[str]:
        """Names of the fields of a PointCloud2 topic's first message."""
        first = next(self.messages([topic]), None)
        return frozenset(f.name for f in decode_cdr(first).fields) if first else frozenset()

    def _is_sensor_data(self, topic: str) -> bool:
        # Ground truth of a simulated drive has labels only, an answer of the node has them too.
        names = self.cloud_fields(topic)
        return names >= {"x", "y", "z"} and PROBABILITY_FIELD not in names

    def _list(self) -> str:
        listed = ", ".join(f"{t.name} ({t.msgtype})" for t in self.topics)
        return listed or "no topics"

    def _unreadable(self, error: Exception) -> BagError:
        return BagError(
            f"cannot read bag {self.path}: {_first_line(error)}"
            " (damaged, or its recording was cut off?)"
        )


def _storage_path(path: Path) -> Path:
    """The path to hand to the library, or an error that says what is wrong with it."""
    if not path.exists():
        raise BagError(f"no such bag: {path}")
    if not path.is_dir():
        if path.name == "metadata.yaml":
            return path.parent
        if path.suffix == ".bag":
            raise BagError(f"{path} is a ROS 1 bag; convert it first, e.g. with rosbags-convert")
        if path.suffix not in (".mcap", ".db3"):
            raise BagError(f"not a rosbag2: {path} (expected a bag directory, .mcap or .db3 file)")
        return path
    if (path / "metadata.yaml").is_file():
        return path
    files = sorted(p for p in path.iterdir() if p.suffix in (".mcap", ".db3"))
    if len(files) == 1:
        return files[0]
    if files:
        raise BagError(f"{path} has no metadata.yaml; run `ros2 bag reindex {path}` to restore it")
    inner = sorted(p.parent for p in path.glob("*/metadata.yaml"))
    hint = f"; did you mean {inner[0]}?" if inner else ""
    raise BagError(f"not a rosbag2: {path} (no metadata.yaml in it){hint}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
