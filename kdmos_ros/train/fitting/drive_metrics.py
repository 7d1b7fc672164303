"""Figures of a network over held-out drives: all points, by range and by object class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.evaluation.breakdown import RANGE_EDGES_M, band_names
from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_polar
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.semantickitti_ids import kind_name
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher
from kdmos_ros.train.fitting.validation import (
    NOTHING,
    Evidence,
    curve_of,
    judged_samples,
    moving_probability,
)
from kdmos_ros.train.networks.student import Student


class _Tally:
    """Adds up scans; evidence, labels, kinds (N,) and horizontal ranges (N,) metres."""

    def __init__(self) -> None:
        self.whole = NOTHING
        self.ranges = dict.fromkeys(band_names(RANGE_EDGES_M, "m"), NOTHING)
        self.kinds: defaultdict[str, Any] = defaultdict(lambda: NOTHING)

    def add(
        self,
        evidence: Evidence,
        labels: npt.NDArray[np.uint8],
        kind: npt.NDArray[np.uint8],
        rho: npt.NDArray[np.float32],
    ) -> None:
        self.whole += curve_of(evidence, labels)
        band = np.digitize(rho, RANGE_EDGES_M) - 1
        for i, name in enumerate(self.ranges):
            self.ranges[name] += curve_of(evidence[band == i], labels[band == i])
        for number in np.unique(kind):
            rows = kind == number
            self.kinds[kind_name(int(number))] += curve_of(evidence[rows], labels[rows])

    def summary(self) -> dict[str, Any]:
        """All at the threshold of the best IoU of the whole."""
        threshold = self.whole.best_threshold()
        return {
            **self.whole.summary(threshold),
            "by_range": {k: curve.summary(threshold) for k, curve in self.ranges.items()},
            "by_class": {k: curve.summary(threshold) for k, curve in self.kinds.items()},
        }


@torch.no_grad()
def student_metrics(
    student: Student, drives: Sequence[TrainingDrive], grid: PolarGrid, features: FeatureSpec
) -> dict[str, Any]:
    """Figures of the student at its best threshold, over the points of its grid.

    Returns:
        The summary over all points, and those of parts of them under by_range and by_class.
    """
    tally = _Tally()
    for drive in drives:
        for sample, probability in judged_samples(student, drive, grid, features):
            ring = sample.frame.cell // grid.n_phi
            rho = (grid.rho_min + grid.d_rho * (ring + 0.5)).astype(np.float32)
            tally.add(probability, sample.labels, sample.kind, rho)
    return tally.summary()


def teacher_metrics(
    teacher: TrainedTeacher, drives: Sequence[TrainingDrive], grid: PolarGrid
) -> dict[str, Any]:
    """Figures of the teacher at its best threshold, over the points that the student sees too.

    Returns:
        The summary over all points, and those of parts of them under by_range and by_class.
    """
    tally = _Tally()
    for drive in drives:
        for sample, logits in teacher.judged(drive.load()):
            rho, phi = to_polar(sample.points[: len(sample.index)])
            rows = grid.cells(rho, phi) != OUTSIDE
            probability = moving_probability(logits)[rows]
            tally.add(probability, sample.labels[rows], sample.kind[rows], rho[rows])
    return tally.summary()
