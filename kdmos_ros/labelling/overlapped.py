"""Labels a drive faster: several scans at a time, where the node has to wait for the next one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

from kdmos_ros.closing import Closing
from kdmos_ros.features.history import PastScan
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Question, Segmentation, Segmenter


class Overlapped(Closing):
    """A ScanSegmenter whose `push` returns when the scan's features are made.

    The networks answer later, in threads. Features need the scans in order; of the networks'
    answers each is for itself, so that the labels are those of one segmenter alone.

    Args:
        segmenters: of one model, each with its own networks. The first one makes all features.
        lookahead: how many later scans each scan waits for.

    Raises:
        KdmosError: the model cannot use later scans.
    """

    def __init__(self, segmenters: Sequence[Segmenter], lookahead: int = 0) -> None:
        self._features = OnlineSegmenter(_Features(segmenters[0]), lookahead)
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for segmenter in segmenters:
            self._free.put(segmenter)
        # One more than are in work has its features made, and waits.
        self._room = threading.Semaphore(len(segmenters))
        self._pool = ThreadPoolExecutor(len(segmenters))

    def close(self) -> None:
        """End the threads; what has not begun is left."""
        self._pool.shutdown(cancel_futures=True)

    def push(self, scan: Scan) -> Future[Segmentation]:
        """See ScanSegmenter; waits while enough scans are in work."""
        answer: Future[Segmentation] = Future()
        # Called in this thread: here, or when a later scan or a flush answers the question.
        self._features.push(scan).add_done_callback(partial(self._submit, answer))
        return answer

    def flush(self) -> None:
        """See ScanSegmenter."""
        self._features.flush()

    def reset(self) -> None:
        """See ScanSegmenter."""
        self._features.reset()

    def _submit(self, answer: Future[Segmentation], question: Future[Question]) -> None:
        error = question.exception()
        if error is not None:
            answer.set_exception(error)
            return
        self._room.acquire()
        try:
            work = self._pool.submit(self._answer, question.result(), answer)
        except RuntimeError as closed:
            self._room.release()
            answer.set_exception(closed)
        else:
            work.add_done_callback(partial(self._worked, answer))

    def _worked(self, answer: Future[Segmentation], work: Future[None]) -> None:
        self._room.release()
        if work.cancelled():  # by `close`
            answer.cancel()

    def _answer(self, question: Question, answer: Future[Segmentation]) -> None:
        segmenter = self._free.get()
        try:
            if answer.set_running_or_notify_cancel():
                answer.set_result(segmenter.answer(question))
        except BaseException as error:
            answer.set_exception(error)
        finally:
            self._free.put(segmenter)


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
