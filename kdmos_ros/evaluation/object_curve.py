"""Figures by object at every threshold at once, for choosing one: definitions of `object_metrics`.

An object is found as long as half of its points are called moving: up to the evidence of the point
in the middle of its ranking, one number an object. False alarms are clusters, which grow and merge
as the threshold falls: one pass over the static points, those with the most evidence first, joins
their cells (union-find: Tarjan, "Efficiency of a Good But Not Linear Set Union Algorithm", 1975)
and counts the clusters that are large enough at each threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.evaluation.breakdown import band_names
from kdmos_ros.evaluation.object_metrics import (
    FALSE_ALARM_POINTS,
    FOUND_SHARE,
    MovingTruth,
    moving_truth,
)
from kdmos_ros.evaluation.object_score import OBJECT_RANGE_EDGES_M
from kdmos_ros.evaluation.threshold_curve import N_BINS, Evidence, bins_of
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.semantickitti_ids import UNKNOWN_KIND, kind_name
from kdmos_ros.tracking.clusters import cells_of

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ObjectCurve:
    """M moving objects and the false alarms of some scans; add curves to join them.

    Attributes:
        last_bin: (M,) each object is found at the thresholds up to last_bin / N_BINS.
        range_m: (M,) metres. kind: (M,) uint8.
        false_alarms: (N_BINS,) at the threshold b / N_BINS.
        scans: how many were added up.
    """

    last_bin: Counts
    range_m: npt.NDArray[np.float64]
    kind: npt.NDArray[np.uint8]
    false_alarms: Counts
    scans: int

    def __add__(self, more: ObjectCurve) -> ObjectCurve:
        return ObjectCurve(
            np.concatenate([self.last_bin, more.last_bin]),
            np.concatenate([self.range_m, more.range_m]),
            np.concatenate([self.kind, more.kind]),
            self.false_alarms + more.false_alarms,
            self.scans + more.scans,
        )

    def recall(self, threshold: float, where: npt.NDArray[np.bool_] | None = None) -> float | None:
        """Share of the objects that is found, of those in the mask (M,); None of none."""
        found = self.last_bin >= round(threshold * N_BINS)
        chosen = found if where is None else found[where]
        return float(chosen.mean()) if len(chosen) else None

    def false_alarms_a_scan(self, threshold: float) -> float | None:
        """None of no scans."""
        alarms = int(self.false_alarms[round(threshold * N_BINS)])
        return alarms / self.scans if self.scans else None

    def summary(self, threshold: float) -> dict[str, Any]:
        """Figures for logs and cards at a threshold that is a multiple of 1 / N_BINS."""

        def part(where: npt.NDArray[np.bool_]) -> dict[str, Any]:
            return {
                "recall": self.recall(threshold, where),
                "objects": int(np.count_nonzero(where)),
            }

        band = np.digitize(self.range_m, OBJECT_RANGE_EDGES_M) - 1
        kinds = np.unique(self.kind[self.kind != UNKNOWN_KIND])
        names = band_names(OBJECT_RANGE_EDGES_M, "m")
        return {
            "recall": self.recall(threshold),
            "objects": len(self.last_bin),
            "false_alarms_a_scan": self.false_alarms_a_scan(threshold),
            "scans": self.scans,
            "by_range": {name: part(band == i) for i, name in enumerate(names)},
            "by_class": {kind_name(int(k)): part(self.kind == k) for k in kinds},
        }


NO_SCANS = ObjectCurve(
    np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8), np.zeros(N_BINS, np.int64), 0
)


def object_curve(
    points: npt.NDArray[np.float32],
    truth: npt.NDArray[np.uint8],
    evidence: Evidence,
    kind: npt.NDArray[np.uint8],
    instance: npt.NDArray[np.int32] | None = None,
) -> ObjectCurve:
    """The curve of one scan of N points.

    Args:
        points, truth, kind, instance: as in `object_metrics.moving_truth`.
        evidence: (N,) in 0..1, 0 for points that the network did not judge.
    """
    if not (truth != UNLABELLED).any():
        return NO_SCANS
    bins = bins_of(evidence)
    objects = moving_truth(points, truth, kind, instance=instance)
    alarms = _false_alarms(points, truth, bins)
    return ObjectCurve(_last_bins(objects, bins), objects.range_m, objects.kind, alarms, 1)


def _last_bins(objects: MovingTruth, bins: Counts) -> Counts:
    """(M,) highest bin at which each object is found."""
    mine = bins[objects.rows]
    ordered = mine[np.lexsort((-mine, objects.object))]
    start = np.cumsum(objects.n_points) - objects.n_points
    needed = np.ceil(FOUND_SHARE * objects.n_points).astype(np.int64)
    return ordered[start + needed - 1]


def _false_alarms(
    points: npt.NDArray[np.float32], truth: npt.NDArray[np.uint8], bins: Counts
) -> Counts:
    """(N_BINS,) false alarms at each bin as threshold; points of bin 0 are no evidence at all."""
    static = (truth != MOVING) & (truth != UNLABELLED)
    rows = np.flatnonzero(static & (bins > 0))
    rows = rows[np.isfinite(points[rows]).all(axis=1)]
    cell, n_cells, (a, b) = cells_of(points[rows])
    bins = bins[rows]
    highest = np.zeros(n_cells, np.int64)
    np.maximum.at(highest, cell, bins)
    # What happens as the threshold falls: points come to their cells, cells that touch join.
    first, second = np.concatenate([cell, a]), np.concatenate([np.full_like(cell, -1), b])
    when = np.concatenate([bins, np.minimum(highest[a], highest[b])])
    order = np.argsort(-when, kind="stable")
    return _large_clusters(
        first[order], second[order], when[order], n_cells, N_BINS, FALSE_ALARM_POINTS
    )


@njit(cache=True)
def _large_clusters(first, second, when, n_cells, n_bins, least):  # type: ignore[no-untyped-def]
    """(n_bins,) clusters of at least so many points after all events down to each bin.

    An event: a point comes to cell `first` (second -1), or the cells first and second join.
    """
    above = np.arange(n_cells)  # cell above each in its tree; roots stand for clusters
    size = np.zeros(n_cells, np.int64)
    counts = np.zeros(n_bins, np.int64)
    large = 0
    event = 0
    for b in range(n_bins - 1, -1, -1):
        while event < len(when) and when[event] == b:
            i = first[event]
            while above[i] != i:
                above[i] = above[above[i]]
                i = above[i]
            if second[event] < 0:
                size[i] += 1
                large += size[i] == least
            else:
                j = second[event]
                while above[j] != j:
                    above[j] = above[above[j]]
                    j = above[j]
                if i != j:
                    if size[i] < size[j]:
                        i, j = j, i
                    large -= (size[i] >= least) + (size[j] >= least)
                    above[j] = i
                    size[i] += size[j]
                    large += size[i] >= least
            event += 1
        counts[b] = large
    return counts
