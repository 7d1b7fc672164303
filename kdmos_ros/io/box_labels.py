"""Labels of points from annotated boxes: what lies in a box that moves is moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import invert, transform
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import FIRST_PARTICIPANT, Kind

Matrix = npt.NDArray[np.float64]

MOVING_M_S = 0.5
"""Slower boxes stand: as Argoverse's scene flow, which calls 5 cm between two sweeps moving."""
MARGIN_M = 0.2
"""Points this near outside of a box that moves may be its own, or not: they are not scored."""


@dataclass(frozen=True)
class Box:
    """An annotated object.

    Attributes:
        pose: (4, 4) from the box's frame (x ahead, origin in its middle) to that of the points.
        size: length, width, height in metres, along x, y, z.
        speed: m/s over ground; NaN: not known.
        instance: its number, from 1 on.
    """

    pose: Matrix
    size: tuple[float, float, float]
    kind: Kind
    speed: float
    instance: int


@dataclass(frozen=True)
class PointLabels:
    """What `LabelledScan` has of each point; see there."""

    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    speed: npt.NDArray[np.float32]
    instance: npt.NDArray[np.int32]


def label_points(points: npt.NDArray[np.float32], boxes: Sequence[Box]) -> PointLabels:
    """Labels of points (N, 3) m: static outside of all boxes, unlabelled where it is not known."""
    n = len(points)
    found = PointLabels(
        np.full(n, STATIC, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.float32),
        np.zeros(n, np.int32),
    )
    # Those that move come last: they win where boxes overlap.
    for box in sorted(boxes, key=lambda b: -1.0 if np.isnan(b.speed) else b.speed):
        reach = 0.5 * float(np.linalg.norm(box.size)) + MARGIN_M
        near = np.flatnonzero(np.linalg.norm(points - box.pose[:3, 3], axis=1) < reach)
        local = np.abs(transform(invert(box.pose), points[near].astype(np.float64)))
        half = 0.5 * np.asarray(box.size)
        inside = near[(local <= half).all(axis=1)]
        if not box.speed < MOVING_M_S:
            found.labels[near[(local <= half + MARGIN_M).all(axis=1)]] = UNLABELLED
        found.labels[inside] = _class_of(box)
        found.kind[inside] = box.kind
        found.speed[inside] = box.speed
        found.instance[inside] = box.instance
    return found


def unlabelled(n: int) -> PointLabels:
    """Of N points without annotations."""
    return PointLabels(
        np.full(n, UNLABELLED, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.float32),
        np.zeros(n, np.int32),
    )


def speeds(
    stamps_ns: npt.NDArray[np.int64], centres: npt.NDArray[np.float64], window_s: float
) -> npt.NDArray[np.float64]:
    """Speeds (K,) in m/s of a track: between the first and last pose within so many seconds.

    Args:
        stamps_ns: (K,), rising; centres: (K, 3) in a fixed frame, metres.

    Returns:
        NaN where there is no second pose.
    """
    half = int(window_s * 0.5e9)
    first = np.searchsorted(stamps_ns, stamps_ns - half, side="left")
    last = np.searchsorted(stamps_ns, stamps_ns + half, side="right") - 1
    seconds = (stamps_ns[last] - stamps_ns[first]) * 1e-9
    way = np.linalg.norm(centres[last] - centres[first], axis=1)
    return np.where(seconds > 0, way / np.maximum(seconds, 1e-9), np.nan)


def _class_of(box: Box) -> int:
    if np.isnan(box.speed):
        return UNLABELLED
    if box.speed >= MOVING_M_S:
        return MOVING
    return MOVABLE if box.kind >= FIRST_PARTICIPANT else STATIC
