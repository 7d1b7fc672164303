"""Points by their evidence of motion: what a network would score at each threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVING, UNLABELLED

Evidence = npt.NDArray[np.float32]
N_BINS = 200


def bins_of(evidence: Evidence) -> npt.NDArray[np.int64]:
    """Bins (N,) of evidence (N,) in 0..1: those from bin b on move at the threshold b / N_BINS."""
    return np.minimum((evidence * N_BINS).astype(np.int64), N_BINS - 1)


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


def curve_of(evidence: Evidence, labels: npt.NDArray[np.uint8]) -> ThresholdCurve:
    """Counts of the points (N,), (N,) by their evidence in 0..1; UNLABELLED ones are left out."""
    bins = bins_of(evidence)
    is_moving = labels == MOVING
    is_other = ~is_moving & (labels != UNLABELLED)
    return ThresholdCurve(
        np.bincount(bins[is_moving], minlength=N_BINS),
        np.bincount(bins[is_other], minlength=N_BINS),
    )
