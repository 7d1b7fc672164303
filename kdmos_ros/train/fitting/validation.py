"""Scores of a network on simulated drives, and the threshold that ships with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.segmentation.hysteresis import evidence_of_motion
from kdmos_ros.segmentation.segmenter import NO_EVIDENCE
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.data.training_samples import Batch, Sample, drive_samples
from kdmos_ros.train.networks.student import Student

Evidence = npt.NDArray[np.float32]
N_BINS = 200


@dataclass(frozen=True)
class ThresholdCurve:
    """Points by their evidence of motion: (N_BINS,) int64 counts of moving and of other points.

    Evidence is the moving probability, or `hysteresis.evidence_of_motion` of it.
    """

    moving: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]

    def confusion(self, threshold: float) -> tuple[int, int, int]:
        """tp, fp, fn at a threshold that is a multiple of 1 / N_BINS."""
        cut = round(threshold * N_BINS)
        return (
            int(self.moving[cut:].sum()),
            int(self.other[cut:].sum()),
            int(self.moving[:cut].sum()),
        )

    def iou(self, threshold: float) -> float:
        """Moving IoU at a threshold; 0 if nothing moves and nothing is called moving."""
        tp, fp, fn = self.confusion(threshold)
        return tp / max(tp + fp + fn, 1)

    def best_threshold(self) -> float:
        """The threshold with the highest IoU."""
        thresholds = np.arange(1, N_BINS) / N_BINS
        return float(thresholds[int(np.argmax([self.iou(t) for t in thresholds]))])

    def quiet_threshold(self, share: float) -> float:
        """The lowest threshold at which at most this share of the other points is called moving.

        The highest there is, if none is quiet enough.
        """
        called = self.other[::-1].cumsum()[::-1] / max(int(self.other.sum()), 1)
        quiet = np.flatnonzero(called[1:] <= share)
        return float(quiet[0] + 1 if len(quiet) else N_BINS - 1) / N_BINS

    def __add__(self, more: ThresholdCurve) -> ThresholdCurve:
        return ThresholdCurve(self.moving + more.moving, self.other + more.other)

    def summary(self, threshold: float) -> dict[str, float]:
        """Figures for logs and cards."""
        tp, fp, fn = self.confusion(threshold)
        others = int(self.other.sum())
        return {
            "threshold": threshold,
            "iou_moving": tp / max(tp + fp + fn, 1),
            "precision": tp / max(tp + fp, 1),
            "recall": tp / max(tp + fn, 1),
            "false_positive_share": fp / max(others, 1),
            "points": tp + fn + others,
            "points_moving": tp + fn,
        }


NOTHING = ThresholdCurve(np.zeros(N_BINS, np.int64), np.zeros(N_BINS, np.int64))


def moving_probability(logits: torch.Tensor) -> Evidence:
    """(P,) probability of MOVING against static and movable, as `segmenter.gather` has it."""
    probability = torch.softmax(logits[:, UNLABELLED + 1 :], dim=1)[:, MOVING - 1]
    return probability.detach().float().cpu().numpy()


@torch.no_grad()
def judged_samples(
    student: Student,
    drive: TrainingDrive,
    grid: PolarGrid,
    features: FeatureSpec,
    connected: float | None = None,
) -> Iterator[tuple[Sample, Evidence]]:
    """Each scan of a drive, unaugmented, with the student's evidence (P,) as the node has it.

    Args:
        connected: the model's connected_threshold.
    """
    student.eval()
    device = next(student.parameters()).device
    for sample in drive_samples(drive.load(), grid, features):
        batch = Batch.of([sample]).to(device)
        logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
        if not sample.frame.n_past:
            logits[:, MOVING] = NO_EVIDENCE
        own = moving_probability(logits)
        yield sample, evidence_of_motion(own, sample.frame.cell, grid, connected)


def threshold_curve(
    student: Student,
    drive: TrainingDrive,
    grid: PolarGrid,
    features: FeatureSpec,
    connected: float | None = None,
) -> ThresholdCurve:
    """Run the student over a drive; points labelled UNLABELLED are left out."""
    curve = NOTHING
    for sample, evidence in judged_samples(student, drive, grid, features, connected):
        curve += curve_of(evidence, sample.labels)
    return curve


def curve_of(evidence: Evidence, labels: npt.NDArray[np.uint8]) -> ThresholdCurve:
    """Counts of the points (N,), (N,) by their evidence in 0..1; UNLABELLED ones are left out."""
    bins = np.minimum((evidence * N_BINS).astype(np.int64), N_BINS - 1)
    is_moving = labels == MOVING
    is_other = ~is_moving & (labels != UNLABELLED)
    return ThresholdCurve(
        np.bincount(bins[is_moving], minlength=N_BINS),
        np.bincount(bins[is_other], minlength=N_BINS),
    )


def choose_threshold(
    student: Student,
    drives: Sequence[TrainingDrive],
    grid: PolarGrid,
    features: FeatureSpec,
    false_alarms: float,
    connected: float | None = None,
) -> tuple[float, ThresholdCurve, ThresholdCurve]:
    """The threshold that ships: quiet where nothing moves, see `ThresholdCurve.quiet_threshold`.

    The IoU over all drives is no good guide alone: it hardly changes over a wide range, and its
    optimum moves with the share of moving points, which is far higher in simulation than on a
    road. Never less than the threshold of the best IoU, nor than `connected`.

    Args:
        drives: held out from training, with and without movers.
        false_alarms: share of points that may be called moving in drives without movers.
        connected: the model's connected_threshold.

    Returns:
        The threshold, the curve over all drives, and that over drives without movers.
    """
    everything = quiet = NOTHING
    for drive in drives:
        curve = threshold_curve(student, drive, grid, features, connected)
        everything += curve
        if not curve.moving.any():
            quiet += curve
    quiet_enough = quiet.quiet_threshold(false_alarms)
    threshold = max(everything.best_threshold(), quiet_enough, connected or 0.0)
    return threshold, everything, quiet
