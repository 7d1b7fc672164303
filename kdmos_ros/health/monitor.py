"""Watches what is labelled, and says what cannot be right."""

from __future__ import annotations

import threading
from collections import Counter, deque

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import Matrix, make_transform
from kdmos_ros.health.complaints import Complaint, complaints
from kdmos_ros.health.measures import (
    Reference,
    Sample,
    Shift,
    along_the_base,
    ground_lean,
    heap,
    measure_shift,
    moving_share,
    sectors,
    take_reference,
    take_sample,
)
from kdmos_ros.health.window import Observation, Window
from kdmos_ros.scan import Scan
from kdmos_ros.throttled_log import ThrottledLog

# Pairs of scans are so far apart: the mount's errors show, and the surroundings are still the same.
_LAG_NS, _LONGEST_LAG_NS = 800_000_000, 2_000_000_000
# More often tells nothing new.
_EVERY_NS = 190_000_000
# Of a scan that does not know its mount: level, as high as on a car.
_LEVEL = make_transform(np.eye(3), [0.0, 0.0, 1.73])
# What a robot may accelerate by; m/s^2.
_ACCELERATION = 5.0


class HealthMonitor:
    """Judges by the last seconds of stamps. May be read from any thread.

    Args:
        log: is told of what begins to be wrong; None: nobody is.
    """

    def __init__(self, log: ThrottledLog | None = None) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._window = Window()
        self._reference: Reference | None = None
        self._poses: deque[tuple[int, Matrix]] = deque(maxlen=2)
        self._jitter_m: float | None = None
        self._newest_ns: int | None = None
        self._current: list[Complaint] = []
        self._worst: dict[str, Complaint] = {}
        self._times: Counter[str] = Counter()
        self._n_times = 0

    @property
    def current(self) -> list[Complaint]:
        """What is wrong now, the worst first."""
        with self._lock:
            return list(self._current)

    def summary(self) -> list[str]:
        """What was wrong at any time, one line each, and for which share of the time."""
        with self._lock:
            return [
                f"{found.level.value} ({cause}, {self._times[cause] / self._n_times:.0%} of the"
                f" time): {found.text}"
                for cause, found in self._worst.items()
            ]

    def begin(self) -> None:
        """Another drive begins: only what was wrong is kept, for `summary`."""
        with self._lock:
            self._window = Window()
            self._reference = None
            self._poses.clear()
            self._newest_ns = None
            self._current = []

    def cleared(self, why: str) -> None:
        """The history was cleared: what follows has no known relation to what was."""
        with self._lock:
            self._reference = None
            self._poses.clear()
            self._window.resets.append((self._newest_ns or 0, why))

    def observe_nothing(self, stamp_ns: int) -> None:
        """A cloud without a return."""
        with self._lock:
            self._window.clouds.append((stamp_ns, True))
            if self._is_due(stamp_ns):
                self._judge(stamp_ns)

    def observe(self, scan: Scan, labels: npt.NDArray[np.uint8]) -> None:
        """A scan and its labels (N,) uint8, in the order of the stamps."""
        with self._lock:
            self._window.clouds.append((scan.stamp_ns, False))
            jitter = self._jitter(scan)
            if jitter is not None:
                self._jitter_m = max(jitter, self._jitter_m or 0.0)
            if not self._is_due(scan.stamp_ns):
                return
            scan = along_the_base(scan)
            mount = _LEVEL if scan.base_T_sensor is None else scan.base_T_sensor
            sample = take_sample(scan, labels, mount)
            shift = self._shift(scan, sample)
            if shift is not None:
                self._window.shifts.append((scan.stamp_ns, shift))
            seen = Observation(
                scan.stamp_ns,
                moving_share(sample),
                heap(sample),
                sectors(sample),
                ground_lean(sample),
                self._jitter_m,
            )
            self._jitter_m = None
            self._window.observations.append(seen)
            self._window.usual_sectors = max(self._window.usual_sectors, seen.sectors)
            self._judge(scan.stamp_ns)

    def _is_due(self, stamp_ns: int) -> bool:
        return self._newest_ns is None or not 0 <= stamp_ns - self._newest_ns < _EVERY_NS

    def _judge(self, stamp_ns: int) -> None:
        self._newest_ns = stamp_ns
        self._n_times += 1
        self._window.forget_before(stamp_ns)
        known = {complaint.cause for complaint in self._current}
        self._current = complaints(self._window)
        for complaint in self._current:
            self._times[complaint.cause] += 1
            self._worst[complaint.cause] = complaint
            if self._log is not None and complaint.cause not in known:
                self._log.warning(f"health {complaint.cause}", complaint.text)

    def _shift(self, scan: Scan, sample: Sample) -> Shift | None:
        """Against a scan some time ago; the newest is then what a later one is compared with."""
        before = self._reference
        age = _LONGEST_LAG_NS + 1 if before is None else scan.stamp_ns - before.stamp_ns
        if 0 <= age < _LAG_NS:
            return None
        self._reference = take_reference(scan)
        if before is None or not _LAG_NS <= age <= _LONGEST_LAG_NS:
            return None
        return measure_shift(before, scan, sample)

    def _jitter(self, scan: Scan) -> float | None:
        """How far the pose lies off what the two before led to, without what a robot may do."""
        poses = [*self._poses, (scan.stamp_ns, scan.pose)]
        self._poses.append((scan.stamp_ns, scan.pose))
        if len(poses) < 3:
            return None
        (t0, first), (t1, second), (t2, third) = poses
        earlier, later = (t1 - t0) * 1e-9, (t2 - t1) * 1e-9
        if earlier <= 0 or later <= 0:
            return None
        led_to = second[:3, 3] + (second[:3, 3] - first[:3, 3]) * (later / earlier)
        allowed = _ACCELERATION * later * (earlier + later) / 2
        return max(0.0, float(np.linalg.norm(third[:3, 3] - led_to)) - allowed)
