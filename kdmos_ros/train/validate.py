"""Scores of a network on simulated drives, and the one threshold that ships with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.feature_spec import FeatureSpec
from kdmos_ros.grid import PolarGrid
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.segmenter import NO_EVIDENCE
from kdmos_ros.train.drives import TrainingDrive
from kdmos_ros.train.samples import Batch, Sample, drive_samples
from kdmos_ros.train.student import Student

N_BINS = 200


@dataclass(frozen=True)
class ThresholdCurve:
    """Points by moving probability: (N_BINS,) int64 counts of moving and of other points."""

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
        }


NOTHING = ThresholdCurve(np.zeros(N_BINS, np.int64), np.zeros(N_BINS, np.int64))


def moving_probability(logits: torch.Tensor) -> torch.Tensor:
    """(P,) probability of MOVING against static and movable, as `segmenter.gather` has it."""
    return torch.softmax(logits[:, UNLABELLED + 1 :], dim=1)[:, MOVING - 1]


@torch.no_grad()
def judged_samples(
    student: Student, drive: TrainingDrive, grid: PolarGrid, features: FeatureSpec
) -> Iterator[tuple[Sample, torch.Tensor]]:
    """Each scan of a drive, unaugmented, with the student's logits (P, C) as the node has them."""
    student.eval()
    device = next(student.parameters()).device
    for sample in drive_samples(drive.load(), grid, features):
        batch = Batch.of([sample]).to(device)
        logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
        if not sample.frame.n_past:
            logits[:, MOVING] = NO_EVIDENCE
        yield sample, logits


def threshold_curve(
    student: Student, drive: TrainingDrive, grid: PolarGrid, features: FeatureSpec
) -> ThresholdCurve:
    """Run the student over a drive; points labelled UNLABELLED are left out."""
    curve = NOTHING
    for sample, logits in judged_samples(student, drive, grid, features):
        curve += curve_of(logits, sample.labels)
    return curve


def curve_of(logits: torch.Tensor, labels: npt.NDArray[np.uint8]) -> ThresholdCurve:
    """Counts of the points (N, C), (N,) by moving probability; UNLABELLED ones are left out."""
    bins = (moving_probability(logits).cpu().numpy() * N_BINS).astype(np.int64)
    bins = np.minimum(bins, N_BINS - 1)
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
) -> tuple[float, ThresholdCurve, ThresholdCurve]:
    """The threshold that ships: quiet where nothing moves, see `ThresholdCurve.quiet_threshold`.

    The IoU over all drives is no good guide alone: it hardly changes over a wide range, and its
    optimum moves with the share of moving points, which is far higher in simulation than on a
    road. Never less than the threshold of the best IoU.

    Args:
        drives: held out from training, with and without movers.
        false_alarms: share of points that may be called moving in drives without movers.

    Returns:
        The threshold, the curve over all drives, and that over drives without movers.
    """
    everything = quiet = NOTHING
    for drive in drives:
        curve = threshold_curve(student, drive, grid, features)
        everything += curve
        if not curve.moving.any():
            quiet += curve
    threshold = max(everything.best_threshold(), quiet.quiet_threshold(false_alarms))
    return threshold, everything, quiet
