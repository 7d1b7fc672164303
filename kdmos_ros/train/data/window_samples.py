"""Windows with their truth, as the teacher's training takes them, and as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.train.config.teacher_config import WindowSpec
from kdmos_ros.train.data.augment import Step
from kdmos_ros.train.data.teacher_window import TeacherWindows, Window
from kdmos_ros.train.data.training_drives import TrainingDrive


@dataclass(frozen=True)
class WindowSample(Window):
    """A window with the truth.

    Attributes:
        labels, kind: (N,) uint8.
    """

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


def window_samples(drive: LabelledDrive, spec: WindowSpec) -> Iterator[WindowSample]:
    """One sample for each scan of a drive, in time order."""
    windows = TeacherWindows(spec, drive.base_T_sensor)
    truths = iter(drive.scans)
    for labelled in (*drive.scans, None):
        if labelled is None:
            jobs = windows.flush()
        else:
            jobs = windows.push(replace(labelled.scan, base_T_sensor=drive.base_T_sensor))
        for job in jobs:
            window, truth = job.make(), next(truths)
            rows = window.index
            yield WindowSample(
                window.points,
                window.time,
                window.features,
                rows,
                truth.labels[rows],
                truth.kind[rows],
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
