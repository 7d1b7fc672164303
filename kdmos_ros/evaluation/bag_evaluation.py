"""Scores a model on labelled drives: the segmenter of the node, the figures of the benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.breakdown import Breakdown, figure_table
from kdmos_ros.evaluation.metrics import ConfusionAccumulator, Latency
from kdmos_ros.evaluation.object_score import ObjectScore
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.labels import from_semantickitti, instances_of
from kdmos_ros.mapping.static_map import StaticMap
from kdmos_ros.pipeline.replay import ReplayedScan
from kdmos_ros.semantickitti_ids import kinds_of


class LabelSource(Protocol):
    """Where the truth comes from: a folder of files or a topic."""

    def read(self, index: int, stamp_ns: int, n_points: int) -> npt.NDArray[np.uint32]:
        """Raw SemanticKITTI labels (N,) uint32 of a scan; KdmosError if there are none."""
        ...


class Spacing:
    """How far apart in time the scans of drives are."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._steps_ns: list[int] = []

    def begin(self) -> None:
        """Another drive begins."""
        self._last_ns = None

    def add(self, stamp_ns: int) -> None:
        """Take note of the next scan of a drive."""
        if self._last_ns is not None and stamp_ns > self._last_ns:
            self._steps_ns.append(stamp_ns - self._last_ns)
        self._last_ns = stamp_ns

    def usual_s(self) -> float | None:
        """The median, seconds; None if there were no two scans."""
        return float(np.median(self._steps_ns)) * 1e-9 if self._steps_ns else None


@dataclass
class Report:
    """What was measured.

    Attributes:
        model, provider: what ran.
        confusion: counts over all labelled scans.
        latency: milliseconds by stage.
        scans, points: scans labelled by the model, and their points.
        dropped: scans not labelled, by reason.
        lookahead: later scans that a label may use.
        stamps: how far apart scans that follow each other are.
        breakdown: figures of parts of the points.
        objects: figures by object.
        health: what cannot be right with scans, poses and mount.
        static_map: the map of the static world, if it is to be scored.
        sequences, sensors: the confusion of each sequence of a split, and of each sensor, by name.
    """

    model: str
    provider: str
    confusion: ConfusionAccumulator = field(default_factory=ConfusionAccumulator)
    latency: Latency = field(default_factory=Latency)
    scans: int = 0
    points: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lookahead: int = 0
    stamps: Spacing = field(default_factory=Spacing)
    breakdown: Breakdown = field(default_factory=Breakdown)
    objects: ObjectScore = field(default_factory=ObjectScore)
    health: HealthMonitor = field(default_factory=HealthMonitor)
    static_map: StaticMap | None = None
    sequences: dict[str, ConfusionAccumulator] = field(default_factory=dict)
    sensors: dict[str, ConfusionAccumulator] = field(default_factory=dict)

    @property
    def delay_s(self) -> float | None:
        """How late labels come: so many usual distances of two scans; None: there are no two."""
        usual = self.stamps.usual_s()
        return 0.0 if not self.lookahead else usual and round(self.lookahead * usual, 3)

    def to_dict(self) -> dict[str, Any]:
        """Content of the JSON file; figures that do not exist are None."""
        c = self.confusion
        return {
            **c.figures(),
            "scans": self.scans,
            "points": self.points,
            "points_labelled": c.labelled,
            "points_ignored": c.ignored,
            "dropped": dict(self.dropped),
            "health": self.health.summary(),
            "latency_ms": self.latency.total(),
            "stages_ms": self.latency.stages(),
            "provider": self.provider,
            "model": self.model,
            "lookahead": self.lookahead,
            "delay_s": self.delay_s,
            "sequences": {name: part.figures() for name, part in self.sequences.items()},
            "by_sensor": {name: part.figures() for name, part in self.sensors.items()},
            **self.breakdown.to_dict(),
            **self.objects.to_dict(),
            **({"map": self.static_map.score().figures()} if self.static_map else {}),
        }

    def _left_out(self) -> list[str]:
        """What the figures do not know of, if anything."""
        if not self.dropped:
            return []
        dropped = ", ".join(f"{n} {reason}" for reason, n in sorted(self.dropped.items()))
        total = self.scans + self.dropped.total()
        return [
            f"scans dropped, and not in the figures: {self.dropped.total()} of {total} ({dropped})"
        ]

    def to_text(self, tables: Collection[str] = ()) -> str:
        """The same for people.

        Args:
            tables: what to print too: "sensor", "object", or of those of `Breakdown.tables`.
        """
        c = self.confusion
        lines = [
            f"model {self.model}, {self.provider}, {self.scans} scans, {self.points} points"
            + self._delay(),
            *self._left_out(),
            f"moving IoU {_figure(c.iou)}   precision {_figure(c.precision)}"
            f"   recall {_figure(c.recall)}",
            f"TP {c.tp}   FP {c.fp}   FN {c.fn}",
        ]
        share = c.false_positive_share
        if share is not None:
            lines.append(f"static points called moving: {100 * share:.4f} %")
        lines.append(self.objects.summary())
        lines += self.health.summary()
        if len(self.sequences) > 1:
            lines += [f"sequence {n}: IoU {_figure(p.iou)}" for n, p in self.sequences.items()]
        known = {
            **self.breakdown.tables(),
            "sensor": figure_table("sensor", self.sensors),
            "object": self.objects.table(),
        }
        for table in tables:
            lines += (
                known[table] if len(known[table]) > 1 else [f"by {table}: not known of this data"]
            )
        if self.static_map is not None:
            lines.append(self.static_map.score().to_text())
        lines.append(latency_table(self.latency))
        return "\n".join(lines)

    def _delay(self) -> str:
        seconds = "" if self.delay_s is None else f" ({self.delay_s:.1f} s)"
        return f", {self.lookahead} scans{seconds} late" if self.lookahead else ""


def evaluate_bag(
    replayed: Iterable[ReplayedScan],
    labels: LabelSource,
    report: Report,
    on_scan: Callable[[ReplayedScan], None] = lambda scan: None,
) -> Report:
    """Score the scans of `replay` against their labels; results are added to the report.

    Args:
        on_scan: called with every scan that was labelled, e.g. to write predictions.

    Raises:
        KdmosError: labels are missing or of another length, or not one scan could be labelled.
    """
    report.objects.begin()
    for scan in replayed:
        truth = labels.read(scan.index, scan.stamp_ns, scan.n_points)
        if scan.labels is None:
            report.dropped[scan.dropped] += 1
            continue
        report.confusion.add(truth, scan.labels)
        if scan.scan is not None:
            classes, kinds = from_semantickitti(truth), kinds_of(truth)
            name = f"{scan.index:06d}"
            points, instance = scan.scan.level_points, instances_of(truth)
            report.breakdown.add(name, points, classes, scan.labels, kinds)
            report.objects.add(points, classes, scan.labels, kinds, instance=instance)
            if report.static_map is not None:
                report.static_map.add(scan.scan, scan.labels, classes)
                report.static_map.scans += 1
        report.stamps.add(scan.stamp_ns)
        report.latency.add(scan.timings_ms)
        report.scans += 1
        report.points += scan.n_points
        on_scan(scan)
    if not report.scans:
        reasons = ", ".join(f"{n} {reason}" for reason, n in report.dropped.items())
        raise KdmosError(f"no scan could be labelled ({reasons or 'the bag has none'})")
    return report


def latency_table(latency: Latency) -> str:
    """Milliseconds by stage and in total, one line each."""
    rows = [*latency.stages().items()]
    total = latency.total()
    if total is not None:
        rows.append(("total", total))
    lines = [f"{'stage [ms]':<12}{'p50':>9}{'p90':>9}{'p99':>9}"]
    for stage, p in rows:
        lines.append(f"{stage:<12}" + "".join(f"{p[k]:9.1f}" for k in ("p50", "p90", "p99")))
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"
