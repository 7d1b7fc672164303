"""An MCAP file that was cut off, as a complete one: its whole records, and an index made of them.

Records as in https://mcap.dev/spec.
"""

from __future__ import annotations

import io
import struct
from binascii import crc32
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kdmos_ros.io import zstd
from kdmos_ros.io.joined_file import JoinedFile
from kdmos_ros.io.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    LAST_OPCODE,
    MAGIC,
    MESSAGE,
    SCHEMA,
    STATISTICS,
    record,
    records_of,
    text,
)  # fmt: skip

_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last time, size, CRC
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, time of recording, of sending


class CutMcap:
    """Stands for the path (rosbags' RPath) of a file that has lost its end; changes nothing.

    Args:
        path: of the file.

    Attributes:
        n_messages: that can be read.
        suffix: for the library.

    Raises:
        ValueError: not even its first records are there.
    """

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            found = _Found()
            self._end, last = _read(file, found, path.stat().st_size)
        self.n_messages = sum(found.counts.values())
        self._tail = last + found.summary(self._end + len(last))

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        """See pathlib.Path."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """See pathlib.Path."""
        return False

    def open(self, *_mode: Any) -> BinaryIO:
        """The mended file, for reading."""
        return io.BufferedReader(JoinedFile(self._path, self._end, self._tail))


@dataclass
class _Found:
    """What the records say: schemas, channels, messages a channel, index of chunks."""

    definitions: dict[tuple[int, int], bytes] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    times: list[int] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def take(self, opcode: int, content: bytes) -> int | None:
        """Note a record; the time of a message."""
        if opcode in (SCHEMA, CHANNEL):
            (number,) = struct.unpack_from("<H", content)
            self.definitions.setdefault((opcode, number), record(opcode, content))
        elif opcode == MESSAGE:
            channel, _, time, _ = _MESSAGE_HEAD.unpack_from(content)
            self.counts[channel] += 1
            return int(time)
        return None

    def take_chunk(self, offset: int, length: int, compression: bytes, sizes: tuple[int, int],
                   records: bytes) -> None:  # fmt: skip
        """Note a chunk and the records in it."""
        counts, times = Counter(self.counts), []
        for opcode, content in records_of(records):
            time = self.take(opcode, content)
            times += [] if time is None else [time]
        if not times:
            return
        self.times += [min(times), max(times)]
        # Where the records lie that index the messages of a chunk; readers take counts from it.
        at, index = offset + length, b""
        for channel, count in sorted((self.counts - counts).items()):
            index += struct.pack("<HQ", channel, at)
            at += 15 + 16 * count
        entry = struct.pack("<QQQQ", min(times), max(times), offset, length) + text(index)
        entry += struct.pack("<Q", at - offset - length)
        entry += text(compression) + struct.pack("<QQ", *sizes)
        self.chunks.append(record(CHUNK_INDEX, entry))

    def summary(self, at: int) -> bytes:
        """End of data, summary and footer of a file whose data ends at an offset."""
        end = record(DATA_END, bytes(4))
        # Schemas go first: a channel names its schema.
        body = b"".join(record for _, record in sorted(self.definitions.items()))
        body += b"".join(self.chunks)
        first, last = (min(self.times), max(self.times)) if self.times else (0, 0)
        counts = b"".join(struct.pack("<HQ", *item) for item in sorted(self.counts.items()))
        n_schemas = sum(opcode == SCHEMA for opcode, _ in self.definitions)
        total, n_channels = sum(self.counts.values()), len(self.definitions) - n_schemas
        figures = (total, n_schemas, n_channels, 0, 0, len(self.chunks), first, last)
        body += record(STATISTICS, struct.pack("<QHIIIIQQ", *figures) + text(counts))
        footer = record(FOOTER, struct.pack("<QQI", at + len(end), 0, 0))
        return end + body + footer + MAGIC


def _read(file: BinaryIO, found: _Found, size: int) -> tuple[int, bytes]:
    """Read whole records into `found`: where they end, and what is left of a cut chunk, mended."""
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("no MCAP file")
    at = len(MAGIC)
    while size - at >= 9:
        opcode, length = struct.unpack("<BQ", file.read(9))
        if not 0 < opcode <= LAST_OPCODE or opcode in (DATA_END, FOOTER):
            break
        if at + 9 + length > size:
            return at, _cut_chunk(file.read(), found, at) if opcode == CHUNK else b""
        content = file.read(length)
        if opcode == CHUNK:
            _take_whole_chunk(content, found, at)
        elif (time := found.take(opcode, content)) is not None:
            found.times.append(time)
        at += 9 + length
    if at <= len(MAGIC):
        raise ValueError("no whole record")
    return at, b""


def _take_whole_chunk(content: bytes, found: _Found, at: int) -> None:
    compression, data, size = _parts(content)
    records = _unpacked(compression, data, whole=True)
    crc = _CHUNK_HEAD.unpack_from(content)[3]
    if len(records) != size or (crc and crc != crc32(records)):
        return  # damaged: what it holds is lost
    sizes = len(data), len(records)
    found.take_chunk(at, 9 + len(content), compression, sizes, records)


def _cut_chunk(content: bytes, found: _Found, at: int) -> bytes:
    """The whole messages of a chunk without its end, as an uncompressed chunk of their own."""
    if len(content) < _CHUNK_HEAD.size + 16:
        return b""
    compression, data, _ = _parts(content)
    whole = b"".join(record(*r) for r in records_of(_unpacked(compression, data, whole=False)))
    first, last, _, _ = _CHUNK_HEAD.unpack_from(content)
    head = _CHUNK_HEAD.pack(first, last, len(whole), 0) + text(b"")
    chunk = record(CHUNK, head + struct.pack("<Q", len(whole)) + whole)
    found.take_chunk(at, len(chunk), b"", (len(whole), len(whole)), whole)
    return chunk


def _parts(content: bytes) -> tuple[bytes, bytes, int]:
    """Compression, data and uncompressed size of a chunk's content."""
    size = _CHUNK_HEAD.unpack_from(content)[2]
    at = _CHUNK_HEAD.size
    (length,) = struct.unpack_from("<I", content, at)
    compression = content[at + 4 : at + 4 + length]
    at += 4 + length
    (n_bytes,) = struct.unpack_from("<Q", content, at) if len(content) >= at + 8 else (0,)
    return compression, content[at + 8 : at + 8 + n_bytes], int(size)


def _unpacked(compression: bytes, data: bytes, whole: bool) -> bytes:
    if not compression:
        return data
    if compression == b"zstd":
        return zstd.decompress_start(data)
    if compression == b"lz4" and whole:
        from lz4.frame import decompress

        try:
            return bytes(decompress(data))
        except RuntimeError:  # what lz4 raises for damaged data
            return b""
    return b""
