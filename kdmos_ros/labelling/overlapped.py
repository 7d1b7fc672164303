"""Labels a drive faster: several scans at a time, where the node has to wait for the next one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from kdmos_ros.closing import Closing
from kdmos_ros.features.history import PastScan
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.pipeline.replay import ReplayedScan
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.deferred_labels import Promise
from kdmos_ros.segmentation.lookahead import Lookahead
from kdmos_ros.segmentation.segmenter import Question, Segmenter


class Overlapped(Closing):
    """A segmenter whose `push` returns when the scan's features are made.

    The networks answer later, in threads: the labels are there once the scan has come out of
    `finished`. Features need the scans in order; of the networks' answers each is for itself, so
    that the labels are those of one segmenter alone.

    Args:
        segmenters: of one model, each with its own networks. The first one makes all features.
        lookahead: how many later scans each scan waits for.

    Raises:
        KdmosError: the model cannot use later scans.
    """

    def __init__(self, segmenters: Sequence[Segmenter], lookahead: int = 0) -> None:
        self._features = Lookahead(_Features(segmenters[0]), lookahead)
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for segmenter in segmenters:
            self._free.put(segmenter)
        # One more than are in work: it waits with its features made.
        self._room = threading.Semaphore(len(segmenters) + 1)
        self._ahead = len(segmenters) + 1 + lookahead
        self._pool = ThreadPoolExecutor(len(segmenters))
        self._open: deque[Promise] = deque()
        self._pushed: Promise | None = None

    def close(self) -> None:
        """End the threads; what has not begun is left."""
        self._pool.shutdown(cancel_futures=True)

    def push(self, scan: Scan) -> Promise:
        """See Segmenter.push; the labels are promised."""
        promise = Promise.of(scan)
        self._room.acquire()
        try:
            question = self._features.push(scan)
        except BaseException:
            self._room.release()
            raise
        self._open.append(promise)
        self._pushed = promise
        if question is None:
            self._room.release()
        else:
            promise.timings_ms.update(question.timings_ms)
            self._submit(question)
        return promise

    def reset(self) -> None:
        """See Segmenter.reset."""
        self._flush()
        self._features.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""
        self._features.set_mount(base_T_sensor)

    def finished(self, replayed: Iterable[ReplayedScan]) -> Iterator[ReplayedScan]:
        """The scans of a replay that pushes to this segmenter, in order, each with its labels."""
        waiting: deque[tuple[ReplayedScan, Promise | None]] = deque()
        pushed = 0
        for scan in replayed:
            waiting.append((scan, self._pushed))
            pushed += self._pushed is not None
            self._pushed = None
            while waiting and (pushed > self._ahead or waiting[0][1] is None):
                first, promise = waiting.popleft()
                pushed -= promise is not None
                yield _wait(first, promise)
        self._flush()
        while waiting:
            yield _wait(*waiting.popleft())

    def _flush(self) -> None:
        for question in self._features.flush():
            self._room.acquire()
            self._submit(question)

    def _submit(self, question: Question) -> None:
        self._pool.submit(self._answer, question, self._open.popleft())

    def _answer(self, question: Question, promise: Promise) -> None:
        segmenter = self._free.get()
        try:
            answer = segmenter.answer(question)
        except BaseException as error:
            promise.break_off(error)
        else:
            promise.keep(answer)
        finally:
            self._free.put(segmenter)
            self._room.release()


class _Features:
    """The first half of a segmenter; its answers are questions to the second."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @property
    def spec(self) -> ModelSpec:
        return self._segmenter.spec

    def as_later(self, scan: Scan) -> PastScan:
        return self._segmenter.as_later(scan)

    def push(
        self, scan: Scan, later: Sequence[PastScan] = (), view: PastScan | None = None
    ) -> Question:
        return self._segmenter.ask(scan, later, view)

    def reset(self) -> None:
        self._segmenter.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        self._segmenter.set_mount(base_T_sensor)


def _wait(scan: ReplayedScan, promise: Promise | None) -> ReplayedScan:
    if promise is not None:
        promise.done.result()
    return scan
