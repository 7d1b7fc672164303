"""Labels promised at once and filled in later, for what expects an answer from every scan."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.lookahead import Lookahead
from kdmos_ros.segmentation.segmenter import Segmentation

Item = TypeVar("Item")


@dataclass(frozen=True)
class Promise(Segmentation):
    """Labels and probabilities are zeros until `done` is; see Segmentation.

    Attributes:
        done: raises what went wrong, if there will be no labels. Cancel it to do without them.
    """

    done: Future[None] = field(default_factory=Future)

    @staticmethod
    def of(scan: Scan) -> Promise:
        """A promise to label a scan."""
        n = len(scan.points)
        return Promise(np.zeros(n, np.uint8), np.zeros(n, np.float32), scan.stamp_ns, {})

    def keep(self, answer: Segmentation) -> None:
        """Fill in what became known."""
        self.labels[:] = answer.labels
        self.moving_probability[:] = answer.moving_probability
        if self.done.set_running_or_notify_cancel():
            self.done.set_result(None)

    def break_off(self, error: BaseException) -> None:
        """There will be no labels."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)


class Promised:
    """A lookahead for what expects an answer from every `push` at once: a promise.

    A reset ends the wait of all scans before it. An error breaks the promises of all that wait, and
    the next scan starts afresh.
    """

    def __init__(self, lookahead: Lookahead[Segmentation]) -> None:
        self._lookahead = lookahead
        self._open: deque[Promise] = deque()
        self._pushed: Promise | None = None

    def push(self, scan: Scan) -> Promise:
        """See Segmenter.push; the timings are of the scan that is answered meanwhile."""
        promise = Promise.of(scan)
        try:
            answer = self._lookahead.push(scan)
        except Exception as error:
            self._break_off(error)
            raise
        self._open.append(promise)
        self._pushed = promise
        if answer is not None:
            self._open.popleft().keep(answer)
            promise.timings_ms.update(answer.timings_ms)
        return promise

    def flush(self) -> None:
        """Label all scans that wait, from the later scans there are."""
        if all(promise.done.cancelled() for promise in self._open):
            self._open.clear()
            self._lookahead.drop()
            return
        try:
            answers = self._lookahead.flush()
        except Exception as error:
            self._break_off(error)
            return
        for answer in answers:
            self._open.popleft().keep(answer)

    def reset(self) -> None:
        """See Segmenter.reset."""
        self.flush()
        self._lookahead.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""
        self._lookahead.set_mount(base_T_sensor)

    def finished(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items that come with a push to this segmenter or without one, each with its labels."""
        waiting: deque[tuple[Item, Promise | None]] = deque()
        for item in items:
            waiting.append((item, self._pushed))
            self._pushed = None
            while waiting and (waiting[0][1] is None or waiting[0][1].done.done()):
                yield _kept(*waiting.popleft())
        self.flush()
        while waiting:
            yield _kept(*waiting.popleft())

    def _break_off(self, error: Exception) -> None:
        while self._open:
            self._open.popleft().break_off(error)
        self._lookahead.reset()


def _kept(item: Item, promise: Promise | None) -> Item:
    if promise is not None:
        promise.done.result()
    return item
