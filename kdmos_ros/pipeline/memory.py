"""Keeps the C library (glibc) from holding on to memory that a long-running process has freed."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h
# Left to itself, glibc soon takes arrays of up to 32 MB from the heap, where they leave holes.
_MAPPED_FROM = 4 << 20
# Less than this much free space at the heap's end stays: it is what the next scan needs.
_TRIMMED_FROM = 16 << 20
# The largest that glibc takes; and more than a scan of a million points frees.
_KEPT_UP_TO, _KEPT_IN_ALL = 32 << 20, 1 << 30
_MADV_DONTNEED = 4  # bits/mman-linux.h
_MAPPINGS = Path("/proc/self/smaps")


def share_one_heap() -> None:
    """Let all threads allocate from one heap: each of its own keeps what it once needed.

    The largest arrays get pages of their own, which go back to the system when they are freed.
    Call it before threads start. Large arrays are few, so that none waits for another. Without
    glibc nothing happens.
    """
    _call("mallopt", _M_ARENA_MAX, 1)
    _call("mallopt", _M_MMAP_THRESHOLD, _MAPPED_FROM)
    _call("mallopt", _M_TRIM_THRESHOLD, _TRIMMED_FROM)


def keep_freed_memory() -> None:
    """Let all threads allocate from one heap, which keeps what is freed: for commands that end.

    Else arrays of megabytes get new pages from the system scan by scan, thousands of page faults
    each, which is a fifth of the time and more where threads allocate. Without glibc nothing
    happens.
    """
    _call("mallopt", _M_ARENA_MAX, 1)
    _call("mallopt", _M_MMAP_THRESHOLD, _KEPT_UP_TO)
    _call("mallopt", _M_TRIM_THRESHOLD, _KEPT_IN_ALL)


def return_free_memory() -> None:
    """Give back to the system what only loading and compiling needed.

    That is the heap's free pages (with glibc) and the pages of libraries as they are on disk (on
    Linux), LLVM's code above all: what is used again comes back by itself, most likely from the
    system's cache.
    """
    gc.collect()
    trim_heap()
    for start, length in _unchanged_library_pages():
        _call("madvise", ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def trim_heap() -> None:
    """Give free pages of the heap back, within it too (glibc). Takes milliseconds.

    Arrays of scans of changing size leave holes, and a heap that is never trimmed grows for hours.
    """
    _call("malloc_trim", 0)


def _unchanged_library_pages() -> Iterator[tuple[int, int]]:
    """Address and length of the mappings of files that nobody writes and the loader left alone."""
    try:
        text = _MAPPINGS.read_text()
    except OSError:  # not Linux
        return
    start, length = 0, 0
    for line in text.splitlines():
        name, *values = line.split(maxsplit=5)
        if not name.endswith(":"):
            first, last = (int(address, 16) for address in name.split("-"))
            readable_file = values[0] in ("r--p", "r-xp") and values[-1].startswith("/")
            start, length = first, (last - first) if readable_file else 0
        # Pages that relocation has changed are this process's own and would be lost.
        elif name == "Anonymous:" and values[0] == "0" and length:
            yield start, length


def _call(name: str, *arguments: Any) -> None:
    with suppress(AttributeError, OSError):  # another C library
        getattr(ctypes.CDLL(None), name)(*arguments)
