"""Keeps the C library (glibc) from holding on to memory that a long-running process has freed."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h


def share_one_heap() -> None:
    """Let all threads allocate from one heap: each of its own keeps what it once needed.

    Call it before threads start. Large arrays are few, so that none waits for another. Without
    glibc nothing happens.
    """
    _call("mallopt", _M_ARENA_MAX, 1)


def return_free_memory() -> None:
    """Give back to the system what loading and compiling has left free. Without glibc: nothing."""
    gc.collect()
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError):  # another C library
        getattr(ctypes.CDLL(None), name)(*arguments)
