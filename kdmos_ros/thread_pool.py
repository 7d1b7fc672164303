"""Work on a scan in several threads: the kernels release Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")
Item = TypeVar("Item")


def thread_count(wanted: int) -> int:
    """Threads to use: `wanted`, or for 0 as many as the cores that this process may run on.

    Fewer than the machine has, in a container or under `taskset`.
    """
    return wanted or len(os.sched_getaffinity(0))


class Threads:
    """Threads to share work with.

    Args:
        num_threads: at least 1; with 1 the caller does everything.
    """

    def __init__(self, num_threads: int) -> None:
        self._threads = max(1, num_threads)
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def begin(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Start work in another thread if there is one; the returned function waits for it."""
        if self._pool is None:
            result = work()
            return lambda: result
        return self._pool.submit(work).result

    def each(self, items: Iterable[Item], work: Callable[[Item], None]) -> None:
        """Run work on each item, in all threads, and wait for it."""
        for _ in map(work, items) if self._pool is None else self._pool.map(work, items):
            pass

    def in_parts(self, n: int, work: Callable[[slice], None]) -> None:
        """Run work on slices of n rows in all threads, and wait for it."""
        # More parts than threads, so that one which is busy otherwise does not hold up the end.
        parts = 1 if self._pool is None else 4 * self._threads
        edges = np.linspace(0, n, parts + 1).astype(int)
        self.each((slice(int(a), int(b)) for a, b in pairwise(edges)), work)
