"""Work on a scan in several threads: the kernels release Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


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

    def in_parts(self, n: int, work: Callable[[slice], None]) -> None:
        """Run work on slices of n rows in all threads, and wait for it."""
        if self._pool is None:
            work(slice(0, n))
            return
        # More parts than threads, so that one which is busy otherwise does not hold up the end.
        edges = np.linspace(0, n, 4 * self._threads + 1).astype(int)
        parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        list(self._pool.map(work, parts))
