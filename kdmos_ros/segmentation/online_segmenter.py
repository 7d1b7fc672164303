"""A segmenter as pipelines use it: each scan is labelled at once, or when some more have come.

With a lookahead, what was there before and what comes then both tell. One model serves every
lookahead, since scans that are not there yet are unknown to it (`VisibilitySpec.future_lags_s`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from kdmos_ros.defaults import MAX_LOOKAHEAD
from kdmos_ros.errors import KdmosError
from kdmos_ros.features.history import PastScan
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.scan import Scan

Answer = TypeVar("Answer")
Given = TypeVar("Given", covariant=True)


class Answers(Protocol[Given]):
    """What is needed of a Segmenter; whatever its `push` gives is the answer."""

    @property
    def spec(self) -> ModelSpec: ...

    def as_later(self, scan: Scan) -> PastScan: ...

    def push(
        self, scan: Scan, later: Sequence[PastScan] = (), view: PastScan | None = None
    ) -> Given: ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class _Waiting(Generic[Answer]):
    """A scan without an answer yet, as itself and as a later one of those before it."""

    scan: Scan
    view: PastScan | None
    future: Future[Answer]


class OnlineSegmenter(Generic[Answer]):
    """A ScanSegmenter made of one Segmenter.

    With a lookahead, an error breaks the futures of all scans that wait, and the next scan starts
    afresh. Without, it costs that scan alone.

    Args:
        segmenter: does the work; has no other user meanwhile.
        lookahead: how many later scans each scan waits for, 0..MAX_LOOKAHEAD; 0: none.

    Raises:
        KdmosError: the model cannot use later scans.
        ValueError: more of them than MAX_LOOKAHEAD.
    """

    def __init__(self, segmenter: Answers[Answer], lookahead: int = 0) -> None:
        if not 0 <= lookahead <= MAX_LOOKAHEAD:
            raise ValueError(f"lookahead must be 0..{MAX_LOOKAHEAD} scans, got {lookahead}")
        if lookahead:
            check_lookahead(segmenter.spec)
        self._segmenter = segmenter
        self._lookahead = lookahead
        self._waiting: deque[_Waiting[Answer]] = deque()
        self._newest_ns: int | None = None

    def push(self, scan: Scan) -> Future[Answer]:
        """See ScanSegmenter."""
        if self._newest_ns is not None and scan.stamp_ns <= self._newest_ns:
            raise ValueError(f"scan at {scan.stamp_ns} ns is not newer than {self._newest_ns} ns")
        future: Future[Answer] = Future()
        try:
            view = self._segmenter.as_later(scan) if self._lookahead else None
            self._waiting.append(_Waiting(scan, view, future))
            if len(self._waiting) > self._lookahead:
                self._answer()
        except Exception as error:
            if self._lookahead:
                self._break_off(error)
            self._waiting.clear()
            raise
        self._newest_ns = scan.stamp_ns
        return future

    def flush(self) -> None:
        """See ScanSegmenter."""
        if all(waiting.future.cancelled() for waiting in self._waiting):
            self._waiting.clear()
        try:
            while self._waiting:
                self._answer()
        except Exception as error:
            self._break_off(error)

    def reset(self) -> None:
        """See ScanSegmenter."""
        self.flush()
        self._newest_ns = None
        self._segmenter.reset()

    def _answer(self) -> None:
        """Answer the scan that has waited longest."""
        oldest = self._waiting[0]
        later = [other.view for other in self._waiting if other.view is not None][1:]
        if self._lookahead:
            answer = self._segmenter.push(oldest.scan, later, oldest.view)
        else:
            answer = self._segmenter.push(oldest.scan)
        self._waiting.popleft()
        if oldest.future.set_running_or_notify_cancel():
            oldest.future.set_result(answer)

    def _break_off(self, error: Exception) -> None:
        while self._waiting:
            future = self._waiting.popleft().future
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        self._newest_ns = None
        self._segmenter.reset()


def check_lookahead(spec: ModelSpec) -> None:
    """Raise KdmosError unless a model was made to use later scans."""
    if not spec.features.visibility.future_lags_s:
        raise KdmosError(
            f"model {spec.name} was trained without later scans (features.visibility.future_lags_s)"
            " and cannot look ahead"
        )
