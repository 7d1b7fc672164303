"""Labels a drive faster: several scans at a time, where the node has to wait for the next one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType

import numpy as np
import numpy.typing as npt

from kdmos_ros.replay import ReplayedScan
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Question, Segmentation, Segmenter


class Overlapped:
    """A segmenter whose `push` returns when the scan's features are made.

    The networks answer later, in threads: the labels are there once the scan has come out of
    `finished`. Features need the scans in order; of the networks' answers each is for itself, so
    that the labels are those of one segmenter alone.

    Args:
        segmenters: of one model, each with its own networks. The first one makes all features.
    """

    def __init__(self, segmenters: Sequence[Segmenter]) -> None:
        self._first = segmenters[0]
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for segmenter in segmenters:
            self._free.put(segmenter)
        # One more than are in work: it waits with its features made.
        self._room = threading.Semaphore(len(segmenters) + 1)
        self._ahead = len(segmenters) + 1
        self._pool = ThreadPoolExecutor(len(segmenters))
        self._pushed: Future[None] | None = None

    def __enter__(self) -> Overlapped:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def push(self, scan: Scan) -> Segmentation:
        """See Segmenter.push; labels and probabilities are zeros until they are known."""
        self._room.acquire()
        try:
            question = self._first.ask(scan)
        except BaseException:
            self._room.release()
            raise
        n = question.frame.n_points
        result = Segmentation(
            np.zeros(n, np.uint8), np.zeros(n, np.float32), scan.stamp_ns, question.timings_ms
        )
        self._pushed = self._pool.submit(self._answer, question, result)
        return result

    def reset(self) -> None:
        """See Segmenter.reset."""
        self._first.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""
        self._first.set_mount(base_T_sensor)

    def finished(self, replayed: Iterable[ReplayedScan]) -> Iterator[ReplayedScan]:
        """The scans of a replay that pushes to this segmenter, in order, each with its labels."""
        waiting: deque[tuple[ReplayedScan, Future[None] | None]] = deque()
        for scan in replayed:
            waiting.append((scan, self._pushed))
            self._pushed = None
            if len(waiting) > self._ahead:
                yield _wait(*waiting.popleft())
        while waiting:
            yield _wait(*waiting.popleft())

    def _answer(self, question: Question, result: Segmentation) -> None:
        segmenter = self._free.get()
        try:
            answer = segmenter.answer(question)
        finally:
            self._free.put(segmenter)
            self._room.release()
        result.labels[:] = answer.labels
        result.moving_probability[:] = answer.moving_probability


def _wait(scan: ReplayedScan, pushed: Future[None] | None) -> ReplayedScan:
    if pushed is not None:
        pushed.result()
    return scan
