"""zstd for bags: of messages, of parts of a file, of whole files; with what `rosbags` brings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK = 1 << 20


def decompress(data: bytes | memoryview) -> bytes:
    """The whole of one frame."""
    return bytes(_library().decompress(data))


def decompress_start(data: bytes) -> bytes:
    """What can be read of a frame that was cut off, perhaps nothing."""
    decompressor = _library().ZstdDecompressor()
    found = bytearray()
    for begin in range(0, len(data), 4096):
        try:
            found += decompressor.decompress(data[begin : begin + 4096])
        except (_library().ZstdError, EOFError):
            break
    return bytes(found)


def decompress_file(source: Path, target: Path) -> bool:
    """Write what can be read of a compressed file; returns whether it was complete."""
    decompressor = _library().ZstdDecompressor()
    with source.open("rb") as compressed, target.open("wb") as out:
        while block := compressed.read(_BLOCK):
            try:
                out.write(decompressor.decompress(block))
            except (_library().ZstdError, EOFError):
                return False
    return bool(decompressor.eof)


def _library() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
