"""Writes rosbag2 directories (MCAP) that `ros2 bag play` plays."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from kdmos_ros.io.bag_file import BagError, typestore


class BagWriter:
    """Writes one bag; it appears under its name only when it is complete.

    Use it in a `with` statement: after an exception nothing is left behind.

    Args:
        path: directory of the new bag.
        overwrite: replace a bag that is already there; anything else there is an error.
        compress: zstd-compress the chunks inside the MCAP file.

    Raises:
        BagError: the path is taken or cannot be written.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, compress: bool = True) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        self.path = Path(path)
        if self.path.exists():
            if not overwrite:
                raise BagError(f"{self.path} exists already; choose another name or remove it")
            if not (self.path / "metadata.yaml").is_file():
                raise BagError(f"{self.path} exists and is not a bag; it is left alone")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(
                tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            )
        except OSError as error:
            raise BagError(f"cannot write bag {self.path}: {error.strerror}") from error
        # Version 8 of the metadata is what Humble, Jazzy and Kilted all read.
        self._writer = Writer(
            self._scratch / self.path.name, version=8, storage_plugin=StoragePlugin.MCAP
        )
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        if compress and hasattr(self._writer.storage, "compressor"):
            # Twice as fast as the library's level and 3 % larger: clouds are mostly noise.
            storage: Any = self._writer.storage
            storage.compressor = partial(storage.compressor, level=1)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def add_topic(
        self, name: str, msgtype: str, *, latched: bool = False, best_effort: bool = False
    ) -> None:
        """Declare a topic and the QoS a player should offer (default: reliable, volatile)."""
        from rosbags.interfaces import (
            Qos,
            QosDurability,
            QosHistory,
            QosLiveliness,
            QosReliability,
            QosTime,
        )

        forever = QosTime(2147483647, 4294967295)
        qos = Qos(
            QosHistory.KEEP_LAST,
            1 if latched else 10,
            QosReliability.BEST_EFFORT if best_effort else QosReliability.RELIABLE,
            QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
            forever,
            forever,
            QosLiveliness.AUTOMATIC,
            forever,
            False,
        )
        self._connections[name] = self._writer.add_connection(
            name, msgtype, typestore=typestore(), offered_qos_profiles=[qos]
        )

    def copy_topic(self, connection: Any) -> None:
        """Declare a topic as another bag has it: type, definition, hash and QoS.

        Args:
            connection: of BagFile.connections. Of several for one topic the first one counts.

        Raises:
            BagError: the bag does not carry the definition of a type that is unknown here.
        """
        if connection.topic in self._connections:
            return
        try:
            self._connections[connection.topic] = self._writer.add_connection(
                connection.topic,
                connection.msgtype,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
                **_definition(connection),
            )
        except Exception as error:  # the library's parsers raise many kinds
            raise BagError(
                f"cannot copy {connection.topic}: no usable definition of {connection.msgtype}"
            ) from error

    def write_raw(self, topic: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """Write CDR bytes to a topic that was added, at a time of recording in ns."""
        try:
            self._writer.write(self._connections[topic], stamp_ns, data)
        except OSError as error:
            raise BagError(f"cannot write bag {self.path}: {error.strerror}") from error

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Serialise and write a message made from rosbags' types."""
        connection = self._connections[topic]
        data = typestore().serialize_cdr(message, connection.msgtype)
        self.write_raw(topic, stamp_ns, data)

    def close(self) -> None:
        """Finish the bag and give it its name."""
        try:
            self._writer.close()
            if self.path.exists():
                os.replace(self.path, self._scratch / "replaced")
            os.replace(self._scratch / self.path.name, self.path)
        except OSError as error:
            raise BagError(f"cannot write bag {self.path}: {error.strerror}") from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def abort(self) -> None:
        """Drop what was written."""
        try:
            self._writer.abort()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _definition(connection: Any) -> dict[str, Any]:
    """Message definition and hash for add_connection: the bag's own, else the common one."""
    text = connection.msgdef.data
    if text:
        return {"msgdef": text, "rihs01": connection.digest or _hash(connection)}
    return {"typestore": typestore()}


def _hash(connection: Any) -> str:
    """Hash (REP-2011) of a definition from a recording before Iron, which has none."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    text, name = connection.msgdef.data, connection.msgtype
    is_idl = connection.msgdef.format == MessageDefinitionFormat.IDL
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(text) if is_idl else get_types_from_msg(text, name))
    return str(store.hash_rihs01(name))
