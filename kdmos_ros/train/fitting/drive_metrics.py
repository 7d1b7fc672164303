"""Figures of a network over held-out drives: all points, by range and class, and by object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from kdmos_ros.evaluation.breakdown import RANGE_EDGES_M, band_names
from kdmos_ros.evaluation.object_curve import NO_SCANS
from kdmos_ros.evaluation.threshold_curve import NOTHING, curve_of
from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_polar
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.semantickitti_ids import kind_name
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher
from kdmos_ros.train.fitting.validation import Judged, judged_samples, moving_probability
from kdmos_ros.train.networks.student import Student


class _Tally:
    """Adds up scans."""

    def __init__(self) -> None:
        self.whole = NOTHING
        self.objects = NO_SCANS
        self.ranges = dict.fromkeys(band_names(RANGE_EDGES_M, "m"), NOTHING)
        self.kinds: defaultdict[str, Any] = defaultdict(lambda: NOTHING)

    def add(self, judged: Judged) -> None:
        """Count one scan."""
        self.objects += judged.objects()
        evidence, rows = judged.evidence, judged.index
        labels, kind = judged.labelled.labels[rows], judged.labelled.kind[rows]
        self.whole += curve_of(evidence, labels)
        x, y = judged.labelled.scan.points[rows, :2].T
        band = np.digitize(np.hypot(x, y), RANGE_EDGES_M) - 1
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
            "by_object": self.objects.summary(threshold),
            "by_class": {k: curve.summary(threshold) for k, curve in self.kinds.items()},
        }


@torch.no_grad()
def student_metrics(
    student: Student, drives: Sequence[TrainingDrive], grid: PolarGrid, features: FeatureSpec
) -> dict[str, Any]:
    """Figures of the student at its best threshold, over the points of its grid.

    Returns:
        The summary over all points, those of parts of them under by_range and by_class, and the
        figures by object under by_object (`ObjectCurve.summary`).
    """
    tally = _Tally()
    for drive in drives:
        for judged in judged_samples(student, drive, grid, features):
            tally.add(judged)
    return tally.summary()


def teacher_metrics(
    teacher: TrainedTeacher, drives: Sequence[TrainingDrive], grid: PolarGrid
) -> dict[str, Any]:
    """Figures of the teacher at its best threshold, over the points that the student sees too.

    Returns:
        The summary over all points, those of parts of them under by_range and by_class, and the
        figures by object under by_object (`ObjectCurve.summary`).
    """
    tally = _Tally()
    for drive in drives:
        content = drive.load()
        for i, (labelled, (sample, logits)) in enumerate(
            zip(content.scans, teacher.judged(content), strict=True)
        ):
            rows = grid.cells(*to_polar(sample.points[: len(sample.index)])) != OUTSIDE
            probability = moving_probability(logits)[rows]
            tally.add(Judged(labelled, sample.index[rows], probability, is_first=i == 0))
    return tally.summary()
