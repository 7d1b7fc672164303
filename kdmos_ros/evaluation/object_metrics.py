"""Figures by object: which moving objects are found whole, and what is called moving in error.

A robot brakes for objects, not for points. The moving IoU of the benchmark counts points, and the
few large vehicles near the sensor have most of them: a model that misses every pedestrian can
still reach 0.95. Here every object counts once, whatever its size.

Object: the moving points of the truth with one instance id; where labels have none, moving points
    joined over cells of 0.5 m that touch (`clusters`). At least 8 points: below that the labels
    themselves are uncertain.
Found: at least half of its points are called moving. From half on, most of what a tracker sees of
    the object is there, so its box is that of the object and not of a corner of it; and one point
    that is called moving by chance finds nothing.
False alarm: at least 15 points that are static in truth, are called moving, and join over cells of
    0.5 m: what would make a robot brake for nothing. More points than an object needs, so that
    the rim of a moving object, called moving with it, is rarely one.
First scan: nothing is known before it, so nothing can be found in it. The first scan of each
    recording is left out of all figures by object and reported apart.

Points that the truth leaves unlabelled count neither for nor against: they belong to no object,
are no false alarm, and join nothing. The cost is linear in the points of a scan; only those that
move, or are called moving, are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.tracking.clusters import cluster_of_each

MIN_POINTS = 8
FOUND_SHARE = 0.5
FALSE_ALARM_POINTS = 15

Points = npt.NDArray[np.float32]
Classes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MovingTruth:
    """The M moving objects of the truth of one scan; K of its points belong to them.

    Attributes:
        rows: (K,) rows of these points in the scan. object: (K,) object of each, 0..M-1.
        n_points: (M,) points of each object, at least MIN_POINTS.
        range_m: (M,) median of the horizontal ranges of its points, metres.
        kind: (M,) uint8, most frequent kind of its points (`object_kinds`).
        speed: (M,) median of the speeds of its points, m/s; None where they are not known.
    """

    rows: npt.NDArray[np.int64]
    object: npt.NDArray[np.int64]
    n_points: npt.NDArray[np.int64]
    range_m: npt.NDArray[np.float64]
    kind: npt.NDArray[np.uint8]
    speed: npt.NDArray[np.float64] | None

    def found(self, predicted: Classes) -> npt.NDArray[np.bool_]:
        """Which objects (M,) are found by the predicted classes (N,) of the scan's points."""
        called = predicted[self.rows] == MOVING
        hits = np.bincount(self.object[called], minlength=len(self.n_points))
        return hits >= FOUND_SHARE * self.n_points


def moving_truth(
    points: Points,
    truth: Classes,
    kind: Classes,
    speed: Points | None = None,
    instance: npt.NDArray[np.int32] | None = None,
) -> MovingTruth:
    """The moving objects of one scan of N points.

    Args:
        points: (N, 3) from the sensor along level axes, metres.
        truth: (N,) classes; kind: (N,) of `object_kinds`.
        speed: (N,) m/s over ground, or None.
        instance: (N,) ids of objects, 0 where there is none; None: there are none at all.
    """
    rows = np.flatnonzero(truth == MOVING)
    rows = rows[np.isfinite(points[rows]).all(axis=1)]
    group = _groups(points[rows], None if instance is None else instance[rows])
    size = np.bincount(group) if len(group) else np.empty(0, np.int64)
    large = size >= MIN_POINTS
    kept = large[group]
    rows, group = rows[kept], (np.cumsum(large) - 1)[group[kept]]
    n = int(large.sum())
    xy = points[rows, :2].astype(np.float64)
    kinds = np.zeros((n, 256), np.int64)
    np.add.at(kinds, (group, kind[rows]), 1)
    return MovingTruth(
        rows,
        group,
        size[large],
        _medians(np.hypot(xy[:, 0], xy[:, 1]), group, n),
        kinds.argmax(axis=1).astype(np.uint8),
        None if speed is None else _medians(speed[rows].astype(np.float64), group, n),
    )


def false_alarms(points: Points, truth: Classes, predicted: Classes) -> npt.NDArray[np.float64]:
    """Ranges (F,) of the false alarms of one scan: medians of their points' ranges, metres.

    Args:
        points: (N, 3) from the sensor along level axes, metres; truth, predicted: (N,) classes.
    """
    static = (truth != MOVING) & (truth != UNLABELLED)
    rows = np.flatnonzero(static & (predicted == MOVING))
    xy = points[rows, :2].astype(np.float64)
    xy = xy[np.isfinite(xy).all(axis=1)]
    cluster = cluster_of_each(xy)
    if not len(cluster):
        return np.empty(0)
    large = np.bincount(cluster) >= FALSE_ALARM_POINTS
    medians = _medians(np.hypot(xy[:, 0], xy[:, 1]), cluster, len(large))
    return medians[large]


def _groups(points: Points, instance: npt.NDArray[np.int32] | None) -> npt.NDArray[np.int64]:
    """Number (K,) of the object of each point, 0 upwards without gaps."""
    if instance is None:
        return cluster_of_each(points)
    group = np.empty(len(points), np.int64)
    named = instance != 0
    ids, number = np.unique(instance[named], return_inverse=True)
    group[named] = number
    group[~named] = len(ids) + cluster_of_each(points[~named])
    return group


def _medians(
    values: npt.NDArray[np.float64], group: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.float64]:
    """Median (n,) of the values of each of n groups, none of them empty."""
    if not n:
        return np.empty(0)
    ordered = values[np.lexsort((values, group))]
    size = np.bincount(group, minlength=n)
    start = np.cumsum(size) - size
    medians: npt.NDArray[np.float64] = ordered[start + (size - 1) // 2] + ordered[start + size // 2]
    return medians / 2
