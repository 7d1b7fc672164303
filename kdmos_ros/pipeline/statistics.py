"""What the node counts: scans, drops by reason, latencies by stage. Free of ROS, thread-safe."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW_S = 10.0
_KEPT_LATENCIES = 200


@dataclass(frozen=True)
class Snapshot:
    """All figures at one moment.

    Attributes:
        received, labelled: scans since the start.
        dropped: scans since the start by reason; received = labelled + dropped + still in work.
        events: other noteworthy things by name (poses out of order, resets, odd clouds ...).
        recent_received, recent_labelled: scans in the last WINDOW_S.
        recent_dropped: scans dropped in the last WINDOW_S by reason.
        recent_late: scans labelled too late in the last WINDOW_S; `late`: since the start.
        rate_hz: labelled scans a second over the last WINDOW_S.
        latency_ms: stage -> (median, 90th percentile) of the last scans.
        last_error: the newest drop's message.
    """

    received: int
    labelled: int
    dropped: dict[str, int]
    events: dict[str, int]
    recent_received: int
    recent_labelled: int
    recent_dropped: dict[str, int]
    rate_hz: float
    latency_ms: dict[str, tuple[float, float]]
    last_error: str
    late: int = 0
    recent_late: int = 0


class Statistics:
    """Counters of one node.

    Args:
        clock: gives seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._received = 0
        self._labelled = 0
        self._late = 0
        self._dropped: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._recent: deque[tuple[float, str, str]] = deque()
        self._latency: dict[str, deque[float]] = {}
        self._last_error = ""

    def received(self) -> None:
        """A cloud message arrived."""
        with self._lock:
            self._received += 1
            self._remember("received")

    def labelled(self, timings_ms: dict[str, float], late: bool = False) -> None:
        """A scan was labelled and published; `late`: later than the operator wants."""
        with self._lock:
            self._labelled += 1
            self._remember("labelled")
            if late:
                self._late += 1
                self._remember("late")
            for stage, value in timings_ms.items():
                self._latency.setdefault(stage, deque(maxlen=_KEPT_LATENCIES)).append(value)

    def dropped(self, reason: str, message: str = "") -> None:
        """A scan was given up."""
        with self._lock:
            self._dropped[reason] += 1
            self._last_error = message or self._last_error
            self._remember("dropped", reason)

    def event(self, name: str) -> None:
        """Something noteworthy that cost no scan."""
        with self._lock:
            self._events[name] += 1

    def snapshot(self) -> Snapshot:
        """All figures, consistent with each other."""
        with self._lock:
            self._forget()
            kinds = Counter(kind for _, kind, _ in self._recent)
            times = [t for t, kind, _ in self._recent if kind == "labelled"]
            span = times[-1] - times[0] if len(times) > 1 else 0.0
            return Snapshot(
                received=self._received,
                labelled=self._labelled,
                dropped=dict(self._dropped),
                events=dict(self._events),
                recent_received=kinds["received"],
                recent_labelled=kinds["labelled"],
                recent_dropped=dict(Counter(r for _, kind, r in self._recent if kind == "dropped")),
                rate_hz=(len(times) - 1) / span if span > 0 else 0.0,
                latency_ms={
                    stage: (float(np.median(values)), float(np.percentile(values, 90)))
                    for stage, values in self._latency.items()
                },
                last_error=self._last_error,
                late=self._late,
                recent_late=kinds["late"],
            )

    def _remember(self, kind: str, reason: str = "") -> None:
        self._forget()
        self._recent.append((self._clock(), kind, reason))

    def _forget(self) -> None:
        horizon = self._clock() - WINDOW_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
