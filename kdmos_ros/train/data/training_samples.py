"""Training samples: feature frames with labels, streamed from drives by the node's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kdmos_ros.features.extractor import FeatureExtractor, FeatureFrame
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.history import PastScan
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.train.data.augment import Step
from kdmos_ros.train.data.teacher_logits import LogitsFolder
from kdmos_ros.train.data.training_drives import TrainingDrive


@dataclass(frozen=True)
class Sample:
    """One scan: its frame, and for the P points in the grid the class and kind, (P,) uint8.

    `teacher` (P, C) float16 are the logits of a teacher, if there is one.
    """

    frame: FeatureFrame
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    teacher: npt.NDArray[np.float16] | None = None


@dataclass(frozen=True)
class Batch:
    """Samples as tensors for `Student.forward`; cells of sample b start at b * n_cells.

    `teacher` (P, C) float16 are the logits of a teacher, if there is one.
    """

    point: Tensor
    cell: Tensor
    z_bin: Tensor
    motion: Tensor
    labels: Tensor
    teacher: Tensor | None = None

    @staticmethod
    def of(samples: list[Sample]) -> Batch:
        """Join samples of the same grid."""
        cells = [
            torch.from_numpy(s.frame.cell.astype(np.int64)) + b * len(s.frame.motion)
            for b, s in enumerate(samples)
        ]
        z_bins = np.concatenate([s.frame.z_bin for s in samples]).astype(np.int64)
        teacher = [s.teacher for s in samples if s.teacher is not None]
        return Batch(
            point=torch.from_numpy(np.concatenate([s.frame.point for s in samples])),
            cell=torch.cat(cells),
            z_bin=torch.from_numpy(z_bins),
            motion=torch.from_numpy(np.stack([s.frame.motion for s in samples])),
            labels=torch.from_numpy(np.concatenate([s.labels for s in samples]).astype(np.int64)),
            teacher=torch.from_numpy(np.concatenate(teacher)) if teacher else None,
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU reads from directly; the loader calls it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {k: v if v is None else change(v) for k, v in given.items()}
        return Batch(**changed)


def drive_samples(
    drive: LabelledDrive,
    grid: PolarGrid,
    features: FeatureSpec,
    steps: Sequence[Step] = (),
) -> Iterator[Sample]:
    """Samples of one drive in time order, after the given changes.

    The first scans have a short or no history, as after the start of the node. Later scans are
    seen as far as each scan says, and there are any.
    """
    for step in steps:
        drive = step(drive)
    extractor = FeatureExtractor(grid, features, drive.base_T_sensor)
    views: dict[int, PastScan] = {}
    for i, labelled in enumerate(drive.scans):
        views.pop(i, None)
        ahead = range(i + 1, min(i + 1 + labelled.later, len(drive.scans)))
        for j in ahead:
            if j not in views:
                views[j] = extractor.as_later(drive.scans[j].scan)
        frame = extractor.push(labelled.scan, later=[views[j] for j in ahead])
        rows = frame.index
        teacher = None if labelled.logits is None else labelled.logits[rows]
        yield Sample(frame, labelled.labels[rows], labelled.kind[rows], teacher)


@dataclass(frozen=True)
class StudentReader:
    """Samples for the student; with a teacher's logits if a folder of them is given."""

    grid: PolarGrid
    features: FeatureSpec
    logits: LogitsFolder | None = None

    def samples(self, drive: TrainingDrive, steps: Sequence[Step]) -> Iterator[Sample]:
        """One sample a scan."""
        content = drive.load()
        if self.logits is not None:
            content = self.logits.attach(content, drive.name)
        return drive_samples(content, self.grid, self.features, steps)

    def collate(self, samples: list[Sample]) -> Batch:
        """A batch."""
        return Batch.of(samples)
