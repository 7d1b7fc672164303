"""What two networks make of a scan, and what to make of both opinions.

Each network has a threshold from its own validation. What counts is the log-odds of each above its
threshold: their mean where both know the point, else that of the one which does. The read-out is
the student's: its grid, threshold and hysteresis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.hysteresis import ConnectedObjects, connected_objects, raised
from kdmos_ros.segmentation.object_votes import PlacedObjects, placed
from kdmos_ros.segmentation.segmenter import Segmentation

Float32 = npt.NDArray[np.float32]

# Neither network is surer than that, so that neither overrules the other whatever it says.
_SUREST = np.float32(0.998)


@dataclass(frozen=True)
class Opinion:
    """What the networks make of a scan.

    Attributes:
        segmentation: without what its neighbours in time tell.
        rows: (P,) int64 points that were judged.
        objects, placed: those that may move.
    """

    segmentation: Segmentation
    rows: npt.NDArray[np.int64]
    objects: ConnectedObjects
    placed: PlacedObjects


@dataclass(frozen=True)
class Known:
    """What the student makes of a scan of N points; little of it, since many wait.

    Attributes:
        segmentation: its answer.
        rows, cell: (P,) points in its grid, and their cells.
        own_body: (K,) rows that the own vehicle returned.
        has_past: whether there was an earlier scan to compare with.
    """

    segmentation: Segmentation
    rows: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int32]
    own_body: npt.NDArray[np.int64]
    has_past: bool


@dataclass(frozen=True)
class Mixture:
    """What to make of two opinions.

    Attributes:
        threshold: of the teacher's moving probability.
        spec: of the student's model.
        alone: only the teacher's counts.
    """

    threshold: float
    spec: ModelSpec
    alone: bool

    def opinion(self, teacher: Float32, known: Known, scan: Scan) -> Opinion:
        """Both opinions in one, on the student's scale."""
        student, rows, n_points = known.segmentation, known.rows, len(scan.points)
        high = self.spec.moving_threshold
        static, movable, moving = teacher[rows].T
        unseen = np.isnan(moving)
        own = _log_odds(student.moving_probability[rows]) - _log_odds(high)
        theirs = _log_odds(moving) - _log_odds(self.threshold)
        if self.alone or not known.has_past:  # a student without a past has no opinion
            mean = np.where(unseen, _log_odds(0.0), theirs)
        else:
            mean = np.where(unseen, own, (own + theirs) / 2)
        mixed = 1 / (1 + np.exp(-(mean + _log_odds(high))))
        probability = mixed.astype(np.float32)
        probability[np.isin(rows, known.own_body)] = 0  # as the student's, see `own_body`
        own_class = np.minimum(student.labels[rows], MOVABLE)
        stands = np.where(unseen, own_class, np.where(movable > static, MOVABLE, STATIC))
        labels = np.full(n_points, UNLABELLED, np.uint8)
        labels[rows] = np.where(probability >= np.float32(high), MOVING, stands)
        whole = np.zeros(n_points, np.float32)
        whole[rows] = probability
        low = high if self.spec.connected_threshold is None else self.spec.connected_threshold
        objects = connected_objects(probability, known.cell, self.spec.grid, low)
        return Opinion(
            Segmentation(labels, whole, student.stamp_ns, student.timings_ms),
            rows,
            objects,
            placed(objects, scan.points[rows], scan.pose, scan.stamp_ns),
        )

    def voted(self, opinion: Opinion, evidence: Float32) -> Segmentation:
        """Labels, given the evidence of each object."""
        found, rows = opinion.segmentation, opinion.rows
        moves = raised(found.moving_probability[rows], opinion.objects, evidence)
        labels = found.labels.copy()
        labels[rows[moves >= np.float32(self.spec.moving_threshold)]] = MOVING
        return replace(found, labels=labels)


def _log_odds(probability: npt.ArrayLike) -> Float32:
    p = np.clip(np.asarray(probability, np.float32), 1 - _SUREST, _SUREST)
    return np.log(p / (1 - p))
