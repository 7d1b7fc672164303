"""Adds up figures by object over scans: by range, class and speed, and the first scans apart.

What an object, a find and a false alarm are: `object_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.evaluation.breakdown import SPEED_EDGES_MPS, band_names
from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.evaluation.object_metrics import MovingTruth, false_alarms, moving_truth
from kdmos_ros.labels import UNLABELLED
from kdmos_ros.semantickitti_ids import UNKNOWN_KIND, kind_name

# Edges in metres (horizontal); what is beyond the last counts too.
OBJECT_RANGE_EDGES_M = (0.0, 20.0, 35.0, 50.0, 80.0)


@dataclass
class ObjectCounts:
    """How many moving objects there were, how many of them were found, and false alarms."""

    objects: int = 0
    found: int = 0
    false_alarms: int = 0

    @property
    def recall(self) -> float | None:
        """Share found, or None where nothing moved."""
        return self.found / self.objects if self.objects else None

    def add(self, found: npt.NDArray[np.bool_]) -> None:
        """Count objects (M,): whether each was found."""
        self.objects += len(found)
        self.found += int(np.count_nonzero(found))

    def figures(self) -> dict[str, float | int | None]:
        """Recall and counts by name."""
        return {"recall": self.recall, "objects": self.objects, "found": self.found}


def _bands(edges: Sequence[float]) -> list[ObjectCounts]:
    return [ObjectCounts() for _ in edges]


@dataclass
class ObjectScore:
    """Figures by object of all scans but the first of each recording.

    Attributes:
        whole: over all ranges.
        by_range: one for each of OBJECT_RANGE_EDGES_M, from that edge to the next.
        by_kind: by kind of `object_kinds`; empty where the data tells none.
        by_speed: one for each of SPEED_EDGES_MPS, where `knows_speed`.
        scans: scans with labels that were counted.
        first_points, first_objects, first_scans: the same of first scans.
    """

    whole: ObjectCounts = field(default_factory=ObjectCounts)
    by_range: list[ObjectCounts] = field(default_factory=lambda: _bands(OBJECT_RANGE_EDGES_M))
    by_kind: dict[int, ObjectCounts] = field(default_factory=dict)
    by_speed: list[ObjectCounts] = field(default_factory=lambda: _bands(SPEED_EDGES_MPS))
    knows_speed: bool = False
    scans: int = 0
    first_points: ConfusionAccumulator = field(default_factory=ConfusionAccumulator)
    first_objects: ObjectCounts = field(default_factory=ObjectCounts)
    first_scans: int = 0
    _is_first: bool = True

    def begin(self) -> None:
        """Another recording begins: the next scan is its first."""
        self._is_first = True

    def add(
        self,
        points: npt.NDArray[np.float32],
        truth: npt.NDArray[np.uint8],
        predicted: npt.NDArray[np.uint8],
        kind: npt.NDArray[np.uint8],
        speed: npt.NDArray[np.float32] | None = None,
        instance: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Count one scan of N points; as `moving_truth`, with predicted classes (N,)."""
        is_first, self._is_first = self._is_first, False
        if not (truth != UNLABELLED).any():
            return
        objects = moving_truth(points, truth, kind, speed, instance)
        found = objects.found(predicted)
        alarms = false_alarms(points, truth, predicted)
        if is_first:
            self.first_scans += 1
            self.first_points.add_classes(truth, predicted)
            self.first_objects.add(found)
            self.first_objects.false_alarms += len(alarms)
        else:
            self._count(objects, found, alarms)

    def _count(
        self,
        objects: MovingTruth,
        found: npt.NDArray[np.bool_],
        alarms: npt.NDArray[np.float64],
    ) -> None:
        self.scans += 1
        self.whole.add(found)
        self.whole.false_alarms += len(alarms)
        band = np.digitize(objects.range_m, OBJECT_RANGE_EDGES_M) - 1
        alarm_band = np.digitize(alarms, OBJECT_RANGE_EDGES_M) - 1
        for i, counts in enumerate(self.by_range):
            counts.add(found[band == i])
            counts.false_alarms += int(np.count_nonzero(alarm_band == i))
        for number in np.unique(objects.kind[objects.kind != UNKNOWN_KIND]):
            counts = self.by_kind.setdefault(int(number), ObjectCounts())
            counts.add(found[objects.kind == number])
        if objects.speed is not None:
            self.knows_speed = True
            band = np.digitize(objects.speed, SPEED_EDGES_MPS) - 1
            for i, counts in enumerate(self.by_speed):
                counts.add(found[band == i])

    @property
    def false_alarms_a_scan(self) -> float | None:
        """False alarms over scans, or None of no scans."""
        return self.whole.false_alarms / self.scans if self.scans else None

    def to_dict(self) -> dict[str, Any]:
        """Content of the JSON file: `by_object` and `first_scans`."""
        return {
            "by_object": {
                **self.whole.figures(),
                "false_alarms": self.whole.false_alarms,
                "false_alarms_a_scan": self.false_alarms_a_scan,
                "scans": self.scans,
                "by_range": [
                    {**band, "false_alarms": counts.false_alarms}
                    for band, counts in zip(
                        _of_bands(self.by_range, OBJECT_RANGE_EDGES_M, "m"),
                        self.by_range,
                        strict=True,
                    )
                ],
                "by_class": {kind_name(k): c.figures() for k, c in sorted(self.by_kind.items())},
                "by_speed": (
                    _of_bands(self.by_speed, SPEED_EDGES_MPS, "mps") if self.knows_speed else []
                ),
            },
            "first_scans": {
                "scans": self.first_scans,
                "points": self.first_points.figures(),
                "objects": {
                    **self.first_objects.figures(),
                    "false_alarms": self.first_objects.false_alarms,
                },
            },
        }

    def summary(self) -> str:
        """One line: objects found and false alarms."""
        return f"moving objects found {_found(self.whole)}   false alarms a scan {self._alarms()}"

    def table(self) -> list[str]:
        """Lines of a table by range, class and speed, the heading first; then the first scans."""
        rows = dict(zip(band_names(OBJECT_RANGE_EDGES_M, "m"), self.by_range, strict=True))
        lines = [f"{'objects':<14}{'moving':>9}{'found':>9}{'recall':>9}{'false alarms':>14}"]
        for name, c in rows.items():
            if c.objects or c.false_alarms:
                lines.append(f"{_row(name, c)}{c.false_alarms:>14}")
        if self.scans:
            lines.append(f"{_row('all', self.whole)}{self.whole.false_alarms:>14}")
        parts = {kind_name(k): c for k, c in sorted(self.by_kind.items())}
        if self.knows_speed:
            parts.update(zip(band_names(SPEED_EDGES_MPS, "m/s"), self.by_speed, strict=True))
        lines += [_row(name, c) for name, c in parts.items() if c.objects]
        if self.first_scans:
            points, objects = self.first_points, self.first_objects
            lines.append(
                f"first scans, not in this table: {self.first_scans}; objects found"
                f" {_found(objects)}; points found {points.tp} of {points.tp + points.fn}"
            )
        return lines

    def _alarms(self) -> str:
        share = self.false_alarms_a_scan
        if share is None:
            return "n/a"
        return f"{share:.2f} ({self.whole.false_alarms} in {self.scans})"


def _of_bands(
    bands: Sequence[ObjectCounts], edges: Sequence[float], unit: str
) -> list[dict[str, Any]]:
    ends = [*edges[1:], None]
    return [
        {f"from_{unit}": start, f"to_{unit}": end, **c.figures()}
        for start, end, c in zip(edges, ends, bands, strict=True)
    ]


def _found(counts: ObjectCounts) -> str:
    recall = "n/a" if counts.recall is None else f"{counts.recall:.4f}"
    return f"{recall} ({counts.found} of {counts.objects})"


def _row(name: str, counts: ObjectCounts) -> str:
    recall = "n/a" if counts.recall is None else f"{counts.recall:.4f}"
    return f"{name:<14}{counts.objects:>9}{counts.found:>9}{recall:>9}"
