"""The SemanticKITTI-MOS figures, and latency statistics.

Protocol (Chen et al., "Moving Object Segmentation in 3D LiDAR Data", RA-L 2021): one confusion
matrix over all points of all scans; unlabelled points do not count; the figure is the IoU of the
moving class against everything else labelled. What counts as labelled: docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVING, UNLABELLED, from_semantickitti

PERCENTILES = (50, 90, 99)


@dataclass
class ConfusionAccumulator:
    """Counts of moving against static points, summed over scans.

    Attributes:
        tp, fp, fn, tn: points by truth and prediction; "positive" is moving.
        ignored: points without a label.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    ignored: int = 0

    def add(
        self,
        truth: npt.NDArray[np.uint32],
        predicted: npt.NDArray[np.uint8],
        where: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one scan.

        Args:
            truth: (N,) uint32 SemanticKITTI labels; the lower 16 bits count: 0 is ignored,
                251..259 are moving, everything else is static.
            predicted: (N,) uint8 classes; all but MOVING mean static, unlabelled too, since a
                point that was not called moving is a miss if it moves.
            where: (N,) bool, points to count (e.g. one band of ranges); default all.

        Raises:
            ValueError: the lengths differ.
        """
        self.add_classes(from_semantickitti(truth), predicted, where)

    def add_classes(
        self,
        classes: npt.NDArray[np.uint8],
        predicted: npt.NDArray[np.uint8],
        where: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """As `add`, with the truth as classes (N,) uint8."""
        if classes.shape != predicted.shape:
            raise ValueError(f"{classes.shape} labels for {predicted.shape} predictions")
        moving = predicted == MOVING
        if where is not None:
            classes, moving = classes[where], moving[where]
        is_moving, counts = classes == MOVING, classes != UNLABELLED
        self.tp += int(np.count_nonzero(is_moving & moving))
        self.fn += int(np.count_nonzero(is_moving & ~moving))
        self.fp += int(np.count_nonzero(counts & ~is_moving & moving))
        self.tn += int(np.count_nonzero(counts & ~is_moving & ~moving))
        self.ignored += int(np.count_nonzero(~counts))

    def merge(self, other: ConfusionAccumulator) -> None:
        """Add another part of the split."""
        for name in ("tp", "fp", "fn", "tn", "ignored"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def figures(self) -> dict[str, float | int | None]:
        """Figures and counts by name; None where a figure says nothing."""
        return {
            "iou_moving": self.iou,
            "precision": self.precision,
            "recall": self.recall,
            "false_positive_share": self.false_positive_share,
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "tn": self.tn,
        }

    @property
    def labelled(self) -> int:
        """Points with a label."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN), or None where nothing moves: then it says nothing."""
        return _ratio(self.tp, self.tp + self.fp + self.fn) if self.tp + self.fn else None

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP), or None where nothing was called moving or nothing moves."""
        return _ratio(self.tp, self.tp + self.fp) if self.tp + self.fn else None

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN), or None where nothing moves."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def false_positive_share(self) -> float | None:
        """Share of the static points that were called moving, 0..1."""
        return _ratio(self.fp, self.fp + self.tn)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """{"p50": ..., "p90": ..., "p99": ...} of values, to 3 decimals, or None of nothing."""
    array = np.asarray(list(values), dtype=np.float64)
    if not array.size:
        return None
    return {f"p{p}": round(float(np.percentile(array, p)), 3) for p in PERCENTILES}


class Latency:
    """Collects milliseconds by stage; the stage `total` is the whole scan."""

    TOTAL = "total"

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, timings_ms: Mapping[str, float]) -> None:
        """Add one scan's stages."""
        for stage, value in timings_ms.items():
            self._values.setdefault(stage, []).append(value)

    def stages(self) -> dict[str, dict[str, float]]:
        """Percentiles by stage, in the order of first appearance, without the total."""
        found = {s: percentiles(v) for s, v in self._values.items() if s != self.TOTAL}
        return {stage: p for stage, p in found.items() if p is not None}

    def total(self) -> dict[str, float] | None:
        """Percentiles of the whole scan, or None if there was none."""
        return percentiles(self._values.get(self.TOTAL, []))
