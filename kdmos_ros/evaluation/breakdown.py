"""Where the errors are: confusion by range, by object kind and by speed, and the worst scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.semantickitti_ids import UNKNOWN_KIND, kind_name

# Edges in metres (horizontal) and metres a second; what is beyond the last edge counts too.
RANGE_EDGES_M = (0.0, 20.0, 35.0, 50.0)
SPEED_EDGES_MPS = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0)


@dataclass(frozen=True)
class WorstScan:
    """A scan to look at: points (N, 3) float32, truth and prediction (N,) uint8 classes."""

    name: str
    called_any: bool
    errors: int
    points: npt.NDArray[np.float32]
    truth: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.uint8]


def _bands(edges: tuple[float, ...]) -> list[ConfusionAccumulator]:
    return [ConfusionAccumulator() for _ in edges]


@dataclass
class Breakdown:
    """Confusion of parts of the points.

    Attributes:
        by_range: one for each of RANGE_EDGES_M, from that edge to the next.
        by_kind: by kind of `object_kinds`; empty where the data tells none.
        by_speed: one for each of SPEED_EDGES_MPS: moving points only, so tp and fn only.
        knows_speed: whether speeds were known.
        worst: the scan with the most errors, of those in which anything was called moving.
    """

    by_range: list[ConfusionAccumulator] = field(default_factory=lambda: _bands(RANGE_EDGES_M))
    by_kind: dict[int, ConfusionAccumulator] = field(default_factory=dict)
    by_speed: list[ConfusionAccumulator] = field(default_factory=lambda: _bands(SPEED_EDGES_MPS))
    knows_speed: bool = False
    worst: WorstScan | None = None

    def add(
        self,
        name: str,
        points: npt.NDArray[np.float32],
        truth: npt.NDArray[np.uint8],
        predicted: npt.NDArray[np.uint8],
        kind: npt.NDArray[np.uint8],
        speed: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Count one scan of N points: classes, kinds (0: not known), speeds m/s."""
        counts = truth != UNLABELLED
        if not counts.any():
            return
        # A point without a return is at no range; the benchmark's labels of such points are 0.
        rho = np.hypot(points[:, 0], points[:, 1])
        band = np.digitize(np.nan_to_num(rho), RANGE_EDGES_M) - 1
        for i, confusion in enumerate(self.by_range):
            confusion.add_classes(truth, predicted, band == i)
        for value in np.unique(kind[counts & (kind != UNKNOWN_KIND)]):
            confusion = self.by_kind.setdefault(int(value), ConfusionAccumulator())
            confusion.add_classes(truth, predicted, kind == value)
        if speed is not None:
            self.knows_speed = True
            band = np.digitize(speed, SPEED_EDGES_MPS) - 1
            for i, confusion in enumerate(self.by_speed):
                confusion.add_classes(truth, predicted, (band == i) & (truth == MOVING))
        called = predicted == MOVING
        errors = int(np.count_nonzero(counts & ((truth == MOVING) != called)))
        # All movers are missed at the start, where there is no history: nothing to learn from.
        rank = (bool(called.any()), errors)
        if self.worst is None or rank > (self.worst.called_any, self.worst.errors):
            self.worst = WorstScan(name, rank[0], errors, points, truth, predicted)

    def to_dict(self) -> dict[str, Any]:
        """Content of the JSON file."""
        content: dict[str, Any] = {"by_range": _of_bands(self.by_range, RANGE_EDGES_M, "m")}
        content["by_class"] = {
            kind_name(kind): _share(c) for kind, c in sorted(self.by_kind.items())
        }
        speeds = _of_bands(self.by_speed, SPEED_EDGES_MPS, "mps") if self.knows_speed else []
        content["by_speed"] = [
            {k: band[k] for k in ("from_mps", "to_mps", "recall", "tp", "fn")} for band in speeds
        ]
        return content

    def tables(self) -> dict[str, list[str]]:
        """Lines of the tables "range", "class" and "speed", the heading first."""
        names = band_names(RANGE_EDGES_M, "m")
        kinds = [f"{'class':<14}{'moving':>9}{'recall':>9}{'still':>11}{'FP share':>10}"]
        for kind, c in sorted(self.by_kind.items()):
            kinds.append(
                f"{kind_name(kind):<14}{c.tp + c.fn:>9}{_cell(c.recall):>9}"
                f"{c.fp + c.tn:>11}{_cell(c.false_positive_share, 5):>10}"
            )
        speeds = [f"{'speed':<14}{'moving':>9}{'recall':>9}"]
        for label, c in zip(band_names(SPEED_EDGES_MPS, "m/s"), self.by_speed, strict=True):
            if c.labelled:
                speeds.append(f"{label:<14}{c.tp + c.fn:>9}{_cell(c.recall):>9}")
        by_range = figure_table("range", dict(zip(names, self.by_range, strict=True)))
        return {"range": by_range, "class": kinds, "speed": speeds}


def figure_table(what: str, rows: Mapping[str, ConfusionAccumulator]) -> list[str]:
    """Lines of a table of IoU, precision, recall and false positives by name."""
    lines = [f"{what:<14}{'IoU':>9}{'precision':>11}{'recall':>9}{'FP share':>10}"]
    for name, c in rows.items():
        if c.labelled:
            cells = f"{_cell(c.iou):>9}{_cell(c.precision):>11}{_cell(c.recall):>9}"
            lines.append(f"{name:<14}{cells}{_cell(c.false_positive_share, 5):>10}")
    return lines


def band_names(edges: tuple[float, ...], unit: str) -> list[str]:
    """Names of the bands, e.g. 0-20 m."""
    inner = [f"{a:g}-{b:g} {unit}" for a, b in pairwise(edges)]
    return [*inner, f"over {edges[-1]:g} {unit}"]


def _of_bands(
    bands: list[ConfusionAccumulator], edges: tuple[float, ...], unit: str
) -> list[dict[str, Any]]:
    ends = [*edges[1:], None]
    return [
        {f"from_{unit}": start, f"to_{unit}": end, **c.figures()}
        for start, end, c in zip(edges, ends, bands, strict=True)
    ]


def _share(c: ConfusionAccumulator) -> dict[str, Any]:
    # No IoU: a false positive belongs to the class of the point, not to that of the mover.
    return {
        "points_moving": c.tp + c.fn,
        "recall": c.recall,
        "points_still": c.fp + c.tn,
        "false_positive_share": c.false_positive_share,
    }


def _cell(value: float | None, digits: int = 4) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
