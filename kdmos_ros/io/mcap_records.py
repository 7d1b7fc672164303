"""Records of an MCAP file, as in https://mcap.dev/spec."""

from __future__ import annotations

import struct
from pathlib import Path

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = range(1, 7)
CHUNK_INDEX, STATISTICS, DATA_END = 0x08, 0x0B, 0x0F
LAST_OPCODE = 0x0F


def profile_of(file: Path) -> str | None:
    """The profile in a file's header: "ros2", "ros1", "" or another; None if it has no header."""
    with file.open("rb") as opened:
        head = opened.read(len(MAGIC) + 13 + 256)
    start = len(MAGIC) + 13
    if not head.startswith(MAGIC) or len(head) < start:
        return None
    (length,) = struct.unpack_from("<I", head, start - 4)
    return head[start : start + length].decode(errors="replace")


def records_of(records: bytes) -> list[tuple[int, bytes]]:
    """Records (opcode, content) up to the first that is not all there."""
    found, at = [], 0
    while at + 9 <= len(records):
        opcode, length = struct.unpack_from("<BQ", records, at)
        if at + 9 + length > len(records) or not 0 < opcode <= LAST_OPCODE:
            break
        found.append((opcode, records[at + 9 : at + 9 + length]))
        at += 9 + length
    return found


def record(opcode: int, content: bytes) -> bytes:
    """A record's bytes."""
    return struct.pack("<BQ", opcode, len(content)) + content


def text(value: bytes) -> bytes:
    """Bytes after their length, as MCAP writes text, arrays and maps."""
    return struct.pack("<I", len(value)) + value
