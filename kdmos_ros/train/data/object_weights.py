"""How much each point counts in training, so that a pedestrian far off counts as a lorry nearby.

A lorry at 8 m has thousands of points, a pedestrian at 30 m twenty. Losses that count points learn
the first. A robot needs both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVABLE, MOVING
from kdmos_ros.tracking.clusters import cluster_of_each

_LIMITS = (0.25, 8.0)


def object_weights(
    points: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8],
    kind: npt.NDArray[np.uint8],
    usual_points: float,
    of_kind: Mapping[int, float] | None = None,
) -> npt.NDArray[np.float32]:
    """(P,) float32 weights: root of usual_points / points of the object, 0.25 to 8; else 1.

    Times what its kind counts for.

    With the root an object of four times the points has twice the weight in all, not four times.

    Args:
        points: (P, 3), metres.
        labels: (P,) classes; objects are what is MOVING or MOVABLE, of one kind and hangs together
            (see `clusters`).
        kind: (P,) of `sim.kinds.Kind`.
        usual_points: points of an object whose points have weight 1.
        of_kind: what objects of a kind count for beside; 1 where it is not named.
    """
    weights = np.ones(len(labels), np.float32)
    for label in (MOVABLE, MOVING):
        for value in np.unique(kind[labels == label]):
            rows = np.flatnonzero((labels == label) & (kind == value))
            number = cluster_of_each(points[rows])
            size = np.bincount(number)[number]
            weights[rows] = np.sqrt(usual_points / size).clip(*_LIMITS)
            weights[rows] *= 1.0 if of_kind is None else of_kind.get(int(value), 1.0)
    return weights
