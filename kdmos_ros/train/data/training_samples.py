"""Training samples: feature frames with labels, streamed from drives by the node's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
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
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.train.data.augment import Step
from kdmos_ros.train.data.object_weights import object_weights
from kdmos_ros.train.data.teacher_logits import LogitsFolder
from kdmos_ros.train.data.training_drives import TrainingDrive


@dataclass(frozen=True)
class Sample:
    """One scan: its frame, and for the P points in the grid the class and kind, (P,) uint8.

    `teacher` (P, C) float16 are the logits of a teacher, if there is one; `weight` (P,) float32 how
    much each point counts, if not alike (see `object_weights`).
    """

    frame: FeatureFrame
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    teacher: npt.NDArray[np.float16] | None = None
    weight: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Batch:
    """Samples as tensors for `Student.forward`; cells of sample b start at b * n_cells.

    `teacher` (P, C) float16 are the logits of a teacher, if there is one; `weight` (P,) float32 how
    much each point counts, None: alike.
    """

    point: Tensor
    cell: Tensor
    z_bin: Tensor
    motion: Tensor
    labels: Tensor
    teacher: Tensor | None = None
    weight: Tensor | None = None

    @staticmethod
    def of(samples: list[Sample]) -> Batch:
        """Join samples of the same grid."""
        cells = [
            torch.from_numpy(s.frame.cell.astype(np.int64)) + b * len(s.frame.motion_row)
            for b, s in enumerate(samples)
        ]
        z_bins = np.concatenate([s.frame.z_bin for s in samples]).astype(np.int64)
        teacher = [s.teacher for s in samples if s.teacher is not None]
        weight = [s.weight for s in samples if s.weight is not None]
        return Batch(
            point=torch.from_numpy(np.concatenate([s.frame.point for s in samples])),
            cell=torch.cat(cells),
            z_bin=torch.from_numpy(z_bins),
            motion=torch.from_numpy(np.stack([s.frame.motion for s in samples])),
            labels=torch.from_numpy(np.concatenate([s.labels for s in samples]).astype(np.int64)),
            teacher=torch.from_numpy(np.concatenate(teacher)) if teacher else None,
            weight=torch.from_numpy(np.concatenate(weight)) if weight else None,
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
    usual_points: float | None = None,
    of_kind: Mapping[int, float] | None = None,
) -> Iterator[Sample]:
    """Samples of one drive in time order, after the given changes.

    The first scans have a short or no history, as after the start of the node. Later scans are
    seen as far as each scan says, and there are any.

    Args:
        usual_points, of_kind: of an object, see `object_weights`; None: all points count alike.
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
        labels, kind = labelled.labels[rows], labelled.kind[rows]
        weight = None
        if usual_points is not None:
            weight = object_weights(labelled.scan.points[rows], labels, kind, usual_points, of_kind)
        yield Sample(frame, labels, kind, teacher, weight)


@dataclass(frozen=True)
class StudentReader:
    """Samples for the student; with a teacher's logits if a folder of them is given.

    Attributes:
        grid, features: of the student.
        logits: those of the teacher.
        usual_points, of_kind: see `drive_samples`.
        knowable: without the teacher's logits of scans that have no past: nothing there tells.
        judged: names of the drives that the teacher has judged; None: all. Others have no opinion
            of its (NaN).
    """

    grid: PolarGrid
    features: FeatureSpec
    logits: LogitsFolder | None = None
    usual_points: float | None = None
    of_kind: Mapping[int, float] | None = None
    knowable: bool = False
    judged: frozenset[str] | None = None

    def samples(self, drive: TrainingDrive, steps: Sequence[Step]) -> Iterator[Sample]:
        """One sample a scan."""
        content = drive.load()
        if self.logits is not None:
            if self.judged is None or drive.name in self.judged:
                content = self.logits.attach(content, drive.name)
            else:
                content = _without_opinion(content)
        weighing = self.usual_points, self.of_kind
        for sample in drive_samples(content, self.grid, self.features, steps, *weighing):
            if self.knowable and not sample.frame.n_past and sample.teacher is not None:
                sample = replace(sample, teacher=np.full_like(sample.teacher, np.nan))
            yield sample

    def collate(self, samples: list[Sample]) -> Batch:
        """A batch."""
        return Batch.of(samples)


def _without_opinion(drive: LabelledDrive) -> LabelledDrive:
    scans = [
        replace(s, logits=np.full((len(s.labels), len(CLASS_NAMES)), np.nan, np.float16))
        for s in drive.scans
    ]
    return replace(drive, scans=scans)
