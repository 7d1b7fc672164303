"""Labels that wait for a few later scans: what was there before and what comes then both tell.

A scan is answered when `scans` more have come, from all of them. One model serves every lookahead,
since scans that are not there yet are unknown to it (`VisibilitySpec.future_lags_s`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.features import as_later
from kdmos_ros.history import MAX_LOOKAHEAD, PastScan
from kdmos_ros.model import ModelSpec
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Segmentation

Item = TypeVar("Item")


class Segments(Protocol):
    """What is needed of a Segmenter."""

    @property
    def spec(self) -> ModelSpec: ...

    def push(self, scan: Scan, later: Sequence[PastScan] = ()) -> Segmentation: ...

    def reset(self) -> None: ...

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None: ...


@dataclass(frozen=True)
class _Waiting:
    """A scan without labels yet, as itself and as a later one; the mount (4, 4) as it came."""

    scan: Scan
    view: PastScan
    mount: npt.NDArray[np.float64] | None


class Lookahead:
    """A segmenter that answers each scan when some more have come.

    Args:
        segmenter: does the work; has no other user meanwhile.
        scans: how many more, 1..MAX_LOOKAHEAD; or 0: answers at once.

    Raises:
        KdmosError: the model cannot use later scans.
    """

    def __init__(self, segmenter: Segments, scans: int) -> None:
        if not 0 <= scans <= MAX_LOOKAHEAD:
            raise ValueError(f"lookahead must be 0..{MAX_LOOKAHEAD} scans, got {scans}")
        if scans:
            check_lookahead(segmenter.spec)
        self._segmenter = segmenter
        self._scans = scans
        self._waiting: deque[_Waiting] = deque()
        self._newest_ns: int | None = None
        self._mount: npt.NDArray[np.float64] | None = None
        self._applied: npt.NDArray[np.float64] | None = None

    def push(self, scan: Scan) -> Segmentation | None:
        """Take the newest scan; returns the labels of an earlier one, or None as there are none.

        Raises:
            ValueError: its stamp is not newer than the last one's (reset first).
        """
        if not self._scans:
            self._apply(self._mount)
            return self._segmenter.push(scan)
        if self._newest_ns is not None and scan.stamp_ns <= self._newest_ns:
            raise ValueError(f"scan at {scan.stamp_ns} ns is not newer than {self._newest_ns} ns")
        self._newest_ns = scan.stamp_ns
        self._waiting.append(_Waiting(scan, as_later(scan), self._mount))
        return self._answer() if len(self._waiting) > self._scans else None

    def flush(self) -> list[Segmentation]:
        """Labels of all scans that still wait, in order, from the later scans there are."""
        return [self._answer() for _ in range(len(self._waiting))]

    def reset(self) -> None:
        """Forget all scans, those that wait too (`flush` first); the next one starts afresh."""
        self._waiting.clear()
        self._newest_ns = None
        self._segmenter.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """Change the sensor's mount, (4, 4) T_base_sensor, for scans that come from now on."""
        self._mount = base_T_sensor

    def _answer(self) -> Segmentation:
        oldest = self._waiting.popleft()
        self._apply(oldest.mount)
        return self._segmenter.push(oldest.scan, [waiting.view for waiting in self._waiting])

    def _apply(self, mount: npt.NDArray[np.float64] | None) -> None:
        if mount is not None and mount is not self._applied:
            self._segmenter.set_mount(mount)
            self._applied = mount


class Promised:
    """A lookahead for what expects an answer from every `push` at once.

    Labels and probabilities are zeros until the scan has come out of `finished`. A reset ends the
    wait of all scans before it.
    """

    def __init__(self, lookahead: Lookahead) -> None:
        self._lookahead = lookahead
        self._open: deque[Segmentation] = deque()
        self._pushed: Segmentation | None = None

    def push(self, scan: Scan) -> Segmentation:
        """See Segmenter.push; the timings are of the scan that is answered meanwhile."""
        answer = self._lookahead.push(scan)
        n = len(scan.points)
        timings = {} if answer is None else answer.timings_ms
        promise = Segmentation(
            np.zeros(n, np.uint8), np.zeros(n, np.float32), scan.stamp_ns, timings
        )
        self._open.append(promise)
        self._pushed = promise
        if answer is not None:
            self._keep(answer)
        return promise

    def reset(self) -> None:
        """See Segmenter.reset."""
        self._flush()
        self._lookahead.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""
        self._lookahead.set_mount(base_T_sensor)

    def finished(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items that come with a push to this segmenter or without one, each with its labels."""
        waiting: deque[tuple[Item, Segmentation | None]] = deque()
        for item in items:
            waiting.append((item, self._pushed))
            self._pushed = None
            while waiting and not self._waits(waiting[0][1]):
                yield waiting.popleft()[0]
        self._flush()
        yield from (item for item, _ in waiting)

    def _waits(self, promise: Segmentation | None) -> bool:
        return any(promise is other for other in self._open)

    def _flush(self) -> None:
        for answer in self._lookahead.flush():
            self._keep(answer)

    def _keep(self, answer: Segmentation) -> None:
        promise = self._open.popleft()
        promise.labels[:] = answer.labels
        promise.moving_probability[:] = answer.moving_probability


def check_lookahead(spec: ModelSpec) -> None:
    """Raise KdmosError unless a model was made to use later scans."""
    if not spec.features.visibility.future_lags_s:
        raise KdmosError(
            f"model {spec.name} was trained without later scans (features.visibility.future_lags_s)"
            " and cannot look ahead"
        )
