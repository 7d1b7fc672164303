"""Labels that wait for a few later scans: what was there before and what comes then both tell.

A scan is answered when `scans` more have come, from all of them. One model serves every lookahead,
since scans that are not there yet are unknown to it (`VisibilitySpec.future_lags_s`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import MAX_LOOKAHEAD
from kdmos_ros.errors import KdmosError
from kdmos_ros.features.history import PastScan
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.scan import Scan

Answer = TypeVar("Answer", covariant=True)


class Segments(Protocol[Answer]):
    """What is needed of a Segmenter; whatever its `push` gives is the answer."""

    @property
    def spec(self) -> ModelSpec: ...

    def as_later(self, scan: Scan) -> PastScan: ...

    def push(
        self, scan: Scan, later: Sequence[PastScan] = (), view: PastScan | None = None
    ) -> Answer: ...

    def reset(self) -> None: ...

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None: ...


@dataclass(frozen=True)
class _Waiting:
    """A scan without labels yet, as itself and as a later one; the mount (4, 4) as it came."""

    scan: Scan
    view: PastScan
    mount: npt.NDArray[np.float64] | None


class Lookahead(Generic[Answer]):
    """A segmenter that answers each scan when some more have come.

    Args:
        segmenter: does the work; has no other user meanwhile.
        scans: how many more, 1..MAX_LOOKAHEAD; or 0: answers at once.

    Raises:
        KdmosError: the model cannot use later scans.
        ValueError: more of them than MAX_LOOKAHEAD.
    """

    def __init__(self, segmenter: Segments[Answer], scans: int) -> None:
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

    def push(self, scan: Scan) -> Answer | None:
        """Take the newest scan; returns the answer to an earlier one, or None as yet.

        Raises:
            ValueError: its stamp is not newer than the last one's (reset first).
        """
        if not self._scans:
            self._apply(self._mount)
            return self._segmenter.push(scan)
        if self._newest_ns is not None and scan.stamp_ns <= self._newest_ns:
            raise ValueError(f"scan at {scan.stamp_ns} ns is not newer than {self._newest_ns} ns")
        self._newest_ns = scan.stamp_ns
        self._waiting.append(_Waiting(scan, self._view(scan), self._mount))
        return self._answer() if len(self._waiting) > self._scans else None

    def flush(self) -> list[Answer]:
        """Answers to all scans that still wait, in order, from the later scans there are."""
        return [self._answer() for _ in range(len(self._waiting))]

    def drop(self) -> None:
        """Forget the scans that wait."""
        self._waiting.clear()

    def reset(self) -> None:
        """Forget all scans, those that wait too (`flush` first); the next one starts afresh."""
        self.drop()
        self._newest_ns = None
        self._segmenter.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """Change the sensor's mount, (4, 4) T_base_sensor, for scans that come from now on."""
        self._mount = base_T_sensor

    def _view(self, scan: Scan) -> PastScan:
        self._apply(self._mount)
        return self._segmenter.as_later(scan)

    def _answer(self) -> Answer:
        oldest = self._waiting.popleft()
        self._apply(oldest.mount)
        later = [waiting.view for waiting in self._waiting]
        return self._segmenter.push(oldest.scan, later, oldest.view)

    def _apply(self, mount: npt.NDArray[np.float64] | None) -> None:
        if mount is not None and mount is not self._applied:
            self._segmenter.set_mount(mount)
            self._applied = mount


def check_lookahead(spec: ModelSpec) -> None:
    """Raise KdmosError unless a model was made to use later scans."""
    if not spec.features.visibility.future_lags_s:
        raise KdmosError(
            f"model {spec.name} was trained without later scans (features.visibility.future_lags_s)"
            " and cannot look ahead"
        )
