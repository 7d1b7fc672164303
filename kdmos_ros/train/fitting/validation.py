"""Scores of a network on simulated drives, and the threshold that ships with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.evaluation.object_curve import NO_SCANS, ObjectCurve, object_curve
from kdmos_ros.evaluation.threshold_curve import NOTHING, Evidence, ThresholdCurve, curve_of
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.segmentation.hysteresis import evidence_of_motion
from kdmos_ros.segmentation.read_out import NO_EVIDENCE
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.data.training_samples import Batch, drive_samples
from kdmos_ros.train.networks.student import Student


@dataclass(frozen=True)
class Judged:
    """One scan of a drive and what a network makes of it.

    Attributes:
        labelled: the whole scan of N points, with its truth.
        index: (P,) rows of the points that were judged.
        evidence: (P,) evidence of motion, 0..1, of these.
        is_first: it is the drive's first scan.
    """

    labelled: LabelledScan
    index: npt.NDArray[np.int64]
    evidence: Evidence
    is_first: bool

    def curve(self) -> ThresholdCurve:
        """Counts of the points that were judged; those labelled UNLABELLED are left out."""
        return curve_of(self.evidence, self.labelled.labels[self.index])

    def objects(self) -> ObjectCurve:
        """The scan's objects, also those beyond what is judged: they are missed. None of a first
        scan, see `object_metrics`.
        """
        if self.is_first:
            return NO_SCANS
        scan = self.labelled
        evidence = np.zeros(len(scan.labels), np.float32)
        evidence[self.index] = self.evidence
        return object_curve(scan.scan.points, scan.labels, evidence, scan.kind, scan.instance)


def moving_probability(logits: torch.Tensor) -> Evidence:
    """(P,) probability of MOVING against static and movable, as `read_out.gather` has it."""
    probability = torch.softmax(logits[:, UNLABELLED + 1 :], dim=1)[:, MOVING - 1]
    return probability.detach().float().cpu().numpy()


@torch.no_grad()
def judged_samples(
    student: Student,
    drive: TrainingDrive,
    grid: PolarGrid,
    features: FeatureSpec,
    connected: float | None = None,
) -> Iterator[Judged]:
    """Each scan of a drive, unaugmented, with the student's evidence as the node has it.

    Args:
        connected: the model's connected_threshold.
    """
    student.eval()
    device = next(student.parameters()).device
    content = drive.load()
    samples = drive_samples(content, grid, features)
    for i, (labelled, sample) in enumerate(zip(content.scans, samples, strict=True)):
        batch = Batch.of([sample]).to(device)
        logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
        if not sample.frame.n_past:
            logits[:, MOVING] = NO_EVIDENCE
        own = moving_probability(logits)
        evidence = evidence_of_motion(own, sample.frame.cell, grid, connected)
        yield Judged(labelled, sample.frame.index, evidence, i == 0)


@dataclass(frozen=True)
class Validation:
    """What held-out drives tell of a student.

    Attributes:
        threshold: the one that ships.
        everything: the curve over all drives. quiet: that over drives without movers.
        objects: the curve by object, over all drives.
    """

    threshold: float
    everything: ThresholdCurve
    quiet: ThresholdCurve
    objects: ObjectCurve

    def metrics(self) -> dict[str, Any]:
        """Figures for logs and cards, at the threshold."""
        quiet = self.quiet.summary(self.threshold) if self.quiet.other.any() else {}
        return {
            **self.everything.summary(self.threshold),
            "false_alarms_without_movers": quiet.get("false_positive_share"),
            "highest_iou_moving": self.everything.iou(self.everything.best_threshold()),
            "by_object": self.objects.summary(self.threshold),
        }


def choose_threshold(
    student: Student,
    drives: Sequence[TrainingDrive],
    grid: PolarGrid,
    features: FeatureSpec,
    false_alarms: float,
    connected: float | None = None,
    threshold: float | None = None,
) -> Validation:
    """The threshold that ships: quiet where nothing moves, see `ThresholdCurve.quiet_threshold`.

    The IoU over all drives is no good guide alone: it hardly changes over a wide range, and its
    optimum moves with the share of moving points, which is far higher in simulation than on a
    road. Never less than the threshold of the best IoU, nor than `connected`.

    Args:
        drives: held out from training, with and without movers.
        false_alarms: share of points that may be called moving in drives without movers.
        connected: the model's connected_threshold.
        threshold: the one that ships, if it was chosen elsewhere.
    """
    everything = quiet = NOTHING
    objects = NO_SCANS
    for drive in drives:
        curve = NOTHING
        for judged in judged_samples(student, drive, grid, features, connected):
            curve += judged.curve()
            objects += judged.objects()
        everything += curve
        if not curve.moving.any():
            quiet += curve
    quiet_enough = quiet.quiet_threshold(false_alarms)
    if threshold is None:
        threshold = max(everything.best_threshold(), quiet_enough, connected or 0.0)
    return Validation(threshold, everything, quiet, objects)
