"""Samples for the teacher: the scans around one, moved into its frame, with see-through features.

Aggregated points alone do not tell free space from space that nobody saw, which is what shows
motion best (`features.visibility`). So each point also carries how it compares with every other
scan that is asked: "seen through" means that something came or left. Grounds are aligned and rows
pooled by the code of the student's features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kdmos_ros.features.grid import to_level, to_polar
from kdmos_ros.features.ground import height_above_ground
from kdmos_ros.features.ground_alignment import Ground, align, take_ground
from kdmos_ros.features.history import lag_tolerance_s
from kdmos_ros.features.point_coordinates import Mount, level_mount
from kdmos_ros.features.range_image import RangeImage, build_range_image
from kdmos_ros.features.visibility import look_up
from kdmos_ros.geometry.transforms import Matrix, invert, make_transform
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.scan import Scan
from kdmos_ros.train.config.teacher_config import WindowSpec
from kdmos_ros.train.data.augment import Step
from kdmos_ros.train.data.training_drives import TrainingDrive

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WindowSample:
    """One scan with those around it. P points in all, the first N of them of the scan itself.

    Attributes:
        points: (P, 3) float32, level frame of the scan, metres.
        time: (P,) float32 age, seconds; 0 for the scan's own.
        features: (P, F) float32, see WindowSpec.
        index: (N,) int64 rows of the scan.
        labels, kind: (N,) uint8.
    """

    points: Float32
    time: Float32
    features: Float32
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class WindowBatch:
    """Samples as tensors for `Teacher.forward`; labels (N,) int64 of the rows with time 0."""

    points: Tensor
    time: Tensor
    features: Tensor
    sample: Tensor
    labels: Tensor

    @staticmethod
    def of(samples: list[WindowSample]) -> WindowBatch:
        """Join samples."""
        number = [np.full(len(s.points), i, np.int64) for i, s in enumerate(samples)]
        return WindowBatch(
            points=torch.from_numpy(np.concatenate([s.points for s in samples])),
            time=torch.from_numpy(np.concatenate([s.time for s in samples])),
            features=torch.from_numpy(np.concatenate([s.features for s in samples])),
            sample=torch.from_numpy(np.concatenate(number)),
            labels=torch.from_numpy(np.concatenate([s.labels for s in samples]).astype(np.int64)),
        )

    def to(self, device: torch.device) -> WindowBatch:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> WindowBatch:
        """The same in memory that a GPU reads from directly; the loader calls it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> WindowBatch:
        return WindowBatch(*(change(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class _Seen:
    """What one scan brings to every window that it is in; rows without a return left out."""

    scan: Scan
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


def window_samples(drive: LabelledDrive, spec: WindowSpec) -> Iterator[WindowSample]:
    """One sample for each scan of a drive, in time order."""
    mount = level_mount(drive.base_T_sensor)
    level_T_sensor = make_transform(mount[0], np.array([0, 0, mount[1]]))
    seen = [_look_at(s.scan, mount, spec) for s in drive.scans]
    for i, labelled in enumerate(drive.scans):
        found = [_at_lag(seen, i, lag) for lag in spec.lags_s + spec.look_lags_s]
        slots = [
            None if other is None else _stand(other, seen[i], mount) for other in (seen[i], *found)
        ]
        given = [slot for slot in slots[: 1 + len(spec.lags_s)] if slot is not None]
        parts = [_part(slot, slots, level_T_sensor, spec) for slot in given]
        index = seen[i].index
        yield WindowSample(
            points=np.concatenate([p for p, _, _ in parts]),
            time=np.concatenate([t for _, t, _ in parts]),
            features=np.concatenate([f for _, _, f in parts]),
            index=index,
            labels=labelled.labels[index],
            kind=labelled.kind[index],
        )


@dataclass(frozen=True)
class WindowReader:
    """Samples for the teacher's training."""

    spec: WindowSpec

    def samples(self, drive: TrainingDrive, steps: Sequence[Step]) -> Iterator[WindowSample]:
        """One sample a scan."""
        content = drive.load()
        for step in steps:
            content = step(content)
        return window_samples(content, self.spec)

    def collate(self, samples: list[WindowSample]) -> WindowBatch:
        """A batch."""
        return WindowBatch.of(samples)


def _look_at(scan: Scan, mount: Mount, spec: WindowSpec) -> _Seen:
    points = np.ascontiguousarray(scan.points, np.float32)
    level = to_level(points, *mount)
    rho, phi = to_polar(level)
    height = height_above_ground(level[:, 2], rho, phi)
    index = np.flatnonzero(rho <= spec.range_m)  # NaN, no return, is not
    return _Seen(
        scan,
        index,
        points[index],
        height[index],
        build_range_image(points, spec.pool_rows),
        take_ground(points, height, mount) if spec.ground_aligned else None,
    )


def _stand(own: _Seen, now: _Seen, mount: Mount) -> _Slot:
    motion = invert(now.scan.pose) @ own.scan.pose
    if own is not now and own.ground is not None and now.ground is not None:
        motion = align(motion, own.ground, now.ground, mount)
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
    level_T_sensor: Matrix,
    spec: WindowSpec,
) -> tuple[Float32, Float32, Float32]:
    """Points, times and features of one scan of a window, whose first slot is the newest."""
    assert slots[0] is not None
    seen, now = own.seen, slots[0].seen
    n = len(seen.points)
    to_level_now = level_T_sensor @ own.now_from_own
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
