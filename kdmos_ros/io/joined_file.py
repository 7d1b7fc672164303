"""A file that is read as if it ended otherwise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class JoinedFile(io.RawIOBase):
    """The first `end` bytes of a file and the bytes of `tail` after them, as one file."""

    def __init__(self, path: Path, end: int, tail: bytes) -> None:
        self._file = path.open("rb")
        self._end, self._tail, self._at = end, tail, 0

    # What follows is as io.RawIOBase says.
    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._end + len(self._tail))[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if self._at < self._end:
            self._file.seek(self._at)
            data = self._file.read(min(wanted, self._end - self._at))
        else:
            begin = self._at - self._end
            data = self._tail[begin : begin + wanted]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
