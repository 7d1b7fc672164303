"""What the teacher sees of a scan: those around it, moved into its frame, and see-through features.

Aggregated points alone do not tell free space from space that nobody saw, which is what shows
motion best (`features.visibility`). So each point also carries how it compares with every other
scan that is asked: "seen through" means that something came or left. Grounds are aligned and rows
pooled by the code of the student's features. Scans come one by one, so that a recording may be of
any length.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.grid import to_level, to_polar
from kdmos_ros.features.ground import height_above_ground
from kdmos_ros.features.ground_alignment import Ground, align, take_ground
from kdmos_ros.features.history import lag_tolerance_s
from kdmos_ros.features.point_coordinates import Mount, level_mount
from kdmos_ros.features.range_image import RangeImage, build_range_image
from kdmos_ros.features.upright import Upright
from kdmos_ros.features.visibility import look_up
from kdmos_ros.geometry.transforms import Matrix, invert, make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.train.config.teacher_config import WindowSpec

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """One scan with those around it. P points in all, the first N of them of the scan itself.

    Attributes:
        points: (P, 3) float32, level frame of the scan, metres.
        time: (P,) float32 age, seconds; 0 for the scan's own.
        features: (P, F) float32, see WindowSpec.
        index: (N,) int64 rows of the scan.
    """

    points: Float32
    time: Float32
    features: Float32
    index: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Seen:
    """What one upright scan, its rows with a return, brings to every window that it is in."""

    scan: Scan
    mount: Mount
    index: npt.NDArray[np.int64]
    points: Float32
    height: Float32
    image: RangeImage
    ground: Ground | None


@dataclass(frozen=True)
class _Slot:
    """A scan in a window, and where it stands: newest frame from its own."""

    seen: _Seen
    now_from_own: Matrix


class TeacherWindows:
    """The windows of scans that come one by one, each as soon as its future is known.

    Holds only the scans that windows to come may need, however many there are.

    Args:
        base_T_sensor: (4, 4) mount of the sensor, for scans that do not know theirs.
    """

    def __init__(self, spec: WindowSpec, base_T_sensor: npt.NDArray[np.float64]) -> None:
        self._spec = spec
        self._upright = Upright(base_T_sensor)
        lags = (0.0, *spec.lags_s, *spec.look_lags_s)
        self._past_ns = _reach_ns(max(lags))
        self._future_ns = int(-min(lags) * 1e9)
        self._seen: deque[_Seen] = deque()
        self._done = 0  # of those: scans whose windows have been given

    def reset(self) -> None:
        """Forget all scans, also those whose windows are due."""
        self._seen.clear()
        self._upright.reset()
        self._done = 0

    def push(self, scan: Scan) -> list[WindowJob]:
        """Take the newest scan; returns the windows whose last scan it is.

        Raises:
            ValueError: the stamp is not newer than the last one's (reset first).
        """
        if self._seen and scan.stamp_ns <= self._seen[-1].scan.stamp_ns:
            last = self._seen[-1].scan.stamp_ns
            raise ValueError(f"scan at {scan.stamp_ns} ns is not newer than {last} ns")
        self._seen.append(_look_at(self._upright.turn(scan), self._spec))
        # No scan after this one is nearer to the longest lead of those that are due.
        return self._due(scan.stamp_ns - self._future_ns)

    def flush(self) -> list[WindowJob]:
        """The windows that still wait for later scans, from what there is."""
        return self._due(None)

    def _due(self, newest_ns: int | None) -> list[WindowJob]:
        """Windows of scans up to a stamp; None: of all."""
        jobs = []
        while self._done < len(self._seen):
            now = self._seen[self._done]
            if newest_ns is not None and now.scan.stamp_ns > newest_ns:
                break
            jobs.append(self._job(now))
            self._done += 1
            while self._done and self._seen[0].scan.stamp_ns < now.scan.stamp_ns - self._past_ns:
                self._seen.popleft()
                self._done -= 1
        return jobs

    def _job(self, now: _Seen) -> WindowJob:
        seen = list(self._seen)
        lags = self._spec.lags_s + self._spec.look_lags_s
        others = [_at_lag(seen, self._done, lag) for lag in lags]
        return WindowJob(now, tuple(others), self._spec)


@dataclass(frozen=True)
class WindowJob:
    """A window that can be made, in any thread: `make` takes most of the time."""

    now: _Seen
    others: tuple[_Seen | None, ...]
    spec: WindowSpec

    @property
    def scan(self) -> Scan:
        """The one to label, upright."""
        return self.now.scan

    def make(self) -> Window:
        """The window."""
        now, spec = self.now, self.spec
        slots = [None if o is None else _stand(o, now) for o in (now, *self.others)]
        given = [slot for slot in slots[: 1 + len(spec.lags_s)] if slot is not None]
        parts = [_part(slot, slots, spec) for slot in given]
        return Window(
            points=np.concatenate([p for p, _, _ in parts]),
            time=np.concatenate([t for _, t, _ in parts]),
            features=np.concatenate([f for _, _, f in parts]),
            index=now.index,
        )


def _reach_ns(lag_s: float) -> int:
    """How far from a scan the one of that lag may be."""
    return int((lag_s + lag_tolerance_s(lag_s)) * 1e9) if lag_s > 0 else 0


def _look_at(scan: Scan, spec: WindowSpec) -> _Seen:
    assert scan.base_T_sensor is not None
    mount = level_mount(scan.base_T_sensor)
    points = np.ascontiguousarray(scan.points, np.float32)
    level = to_level(points, *mount)
    rho, phi = to_polar(level)
    height = height_above_ground(level[:, 2], rho, phi, float(mount[1]))
    index = np.flatnonzero(rho <= spec.range_m)  # NaN, no return, is not
    return _Seen(
        scan,
        mount,
        index,
        points[index],
        height[index],
        build_range_image(points, spec.pool_rows),
        take_ground(points, height, mount) if spec.ground_aligned else None,
    )


def _stand(own: _Seen, now: _Seen) -> _Slot:
    motion = invert(now.scan.pose) @ own.scan.pose
    if own is not now and own.ground is not None and now.ground is not None:
        motion = align(motion, own.ground, now.ground, now.mount)
    return _Slot(own, motion)


def _at_lag(seen: list[_Seen], now: int, lag_s: float) -> _Seen | None:
    """The scan whose age is nearest to lag_s, if it is near enough; as the node's history does."""
    stamp = seen[now].scan.stamp_ns

    def error(other: _Seen) -> float:
        return abs((stamp - other.scan.stamp_ns) * 1e-9 - lag_s)

    others = seen[:now] if lag_s > 0 else seen[now + 1 :]
    best = min(others, key=error, default=None)
    return best if best is not None and error(best) <= lag_tolerance_s(abs(lag_s)) else None


def _part(
    own: _Slot,
    slots: list[_Slot | None],
    spec: WindowSpec,
) -> tuple[Float32, Float32, Float32]:
    """Points, times and features of one scan of a window, whose first slot is the newest."""
    assert slots[0] is not None
    seen, now = own.seen, slots[0].seen
    n = len(seen.points)
    lift = make_transform(np.eye(3), [0.0, 0.0, float(now.mount[1])])
    to_level_now = lift @ own.now_from_own
    points = (seen.points @ to_level_now[:3, :3].T + to_level_now[:3, 3]).astype(np.float32)
    age = np.float32((now.scan.stamp_ns - seen.scan.stamp_ns) * 1e-9)
    features = np.zeros((n, spec.n_features), np.float32)
    features[:, 0] = np.hypot(points[:, 0], points[:, 1]) / np.float32(spec.range_m)
    features[:, 1] = seen.height
    state = np.empty(n, np.uint8)
    near, far = np.empty(n, np.float32), np.empty(n, np.float32)
    margins = spec.margin_m, spec.margin_per_m
    for k, other in enumerate(slots):
        if other is None or other.seen is seen:
            continue
        move = (invert(other.now_from_own) @ own.now_from_own).astype(np.float32)
        look_up(other.seen.image, move, seen.points, *margins, state, near, far)
        features[:, 2 + 2 * k] = near
        features[:, 3 + 2 * k] = far
    return points, np.full(n, age, np.float32), features
