"""Pictures of an evaluation: confusion, the worst scan, figures by range, class and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.evaluation.breakdown import RANGE_EDGES_M, SPEED_EDGES_MPS, WorstScan, band_names
from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.io.atomic import new_file
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.semantickitti_ids import kind_name

_FOUND, _FALSE, _MISSED, _STATIC, _IGNORED = "#1a9850", "#d73027", "#4575b4", "#b8bec8", "#e8eaee"
_EXTENT_M = 50.0


def draw(report: Report, folder: Path) -> list[Path]:
    """Write the pictures that there are figures for; returns their paths."""
    parts = report.breakdown
    figures = {
        "confusion": _confusion(report),
        "by_range": _bars(parts.by_range, band_names(RANGE_EDGES_M, "m"), "horizontal range"),
    }
    if parts.by_kind:
        kinds = sorted(parts.by_kind)
        figures["by_class"] = _classes(
            [parts.by_kind[k] for k in kinds], list(map(kind_name, kinds))
        )
    if parts.knows_speed:
        names = band_names(SPEED_EDGES_MPS, "m/s")
        figures["by_speed"] = _bars(parts.by_speed, names, "speed over ground", ("recall",))
    if len(report.sensors) > 1:
        figures["by_sensor"] = _bars(list(report.sensors.values()), list(report.sensors), "sensor")
    return [_save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def draw_delays(results: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Draw IoU against delay; returns the path.

    Args:
        results: contents of the JSON files of `kdmos eval`, on the same data with different
            look-ahead; of one model or several.
    """
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for model in dict.fromkeys(result["model"] for result in results):
        rows = sorted(
            (result["lookahead"], result["iou_moving"], result.get("delay_s"))
            for result in results
            if result["model"] == model and result["iou_moving"] is not None
        )
        axes.plot([row[0] for row in rows], [row[1] for row in rows], marker="o", label=model)
        for scans, iou, seconds in rows:
            text = f"{iou:.3f}" + (f"\n{seconds:.1f} s" if seconds else "")
            axes.annotate(text, (scans, iou), (0, 6), textcoords="offset points", ha="center")
    _finish(axes, "delay, scans")
    axes.set_xticks(sorted({result["lookahead"] for result in results}))
    axes.set_ylabel(_TITLES["iou"])
    axes.legend(frameon=False, loc="lower right")
    return _save(figure, folder / "by_delay.png")


def _save(figure: Figure, path: Path) -> Path:
    with new_file(path) as part:
        figure.savefig(part, dpi=110, bbox_inches="tight")
    return path


def _bars(
    parts: list[ConfusionAccumulator],
    names: list[str],
    what: str,
    figures: tuple[str, ...] = ("iou", "precision", "recall"),
) -> Figure:
    figure = Figure(figsize=(1.6 + 1.5 * len(parts), 4))
    axes = figure.subplots()
    width, at = 0.8 / len(figures), np.arange(len(parts))
    for i, name in enumerate(figures):
        values = [getattr(part, name) for part in parts]
        x = at + (i - (len(figures) - 1) / 2) * width
        bars = axes.bar(x, [v or 0.0 for v in values], width * 0.92, label=_TITLES[name])
        axes.bar_label(bars, ["n/a" if v is None else f"{v:.2f}" for v in values], fontsize=8)
    moving = [
        f"{name}\n{part.tp + part.fn:,} moving" for name, part in zip(names, parts, strict=True)
    ]
    axes.set_xticks(at, moving, fontsize=8)
    _finish(axes, what)
    if len(figures) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3, frameon=False)
    else:
        axes.set_ylabel(f"{_TITLES[figures[0]]} (false positives have no speed)")
    return figure


_TITLES = {"iou": "moving IoU", "precision": "precision", "recall": "recall"}


def _finish(axes: Any, what: str) -> None:
    axes.set_xlabel(what)
    axes.set_ylim(0, 1.08)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _classes(parts: list[ConfusionAccumulator], names: list[str]) -> Figure:
    """Recall of what moves, and the share of what stands that was called moving."""
    figure = Figure(figsize=(11, 0.8 + 0.33 * len(parts)))
    recall, false = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(parts))
    percent = [None if p.fp + p.tn == 0 else 100 * p.fp / (p.fp + p.tn) for p in parts]
    for axes, figures, colour, digits in (
        (recall, [p.recall for p in parts], _FOUND, 2),
        (false, percent, _FALSE, 3),
    ):
        bars = axes.barh(at, [v or 0.0 for v in figures], color=colour)
        texts = ["" if v is None else f"{v:.{digits}f}" for v in figures]
        axes.bar_label(bars, texts, fontsize=8, padding=2)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    recall.set_yticks(at, names, fontsize=8)
    recall.invert_yaxis()
    recall.set_xlim(0, 1.12)
    recall.set_xlabel("recall of moving points")
    false.set_xlabel("still points called moving, %")
    false.set_xlim(0, 1.2 * max([value or 0.0 for value in percent] + [0.005]))
    return figure


def _confusion(report: Report) -> Figure:
    figure = Figure(figsize=(13, 7))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    c = report.confusion
    counts = np.array([[c.tp, c.fn], [c.fp, c.tn]], float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = f"{int(n):,}\n{100 * share[row, column]:.3f} %"
        left.text(column, row, text, ha="center", va="center", color=colour)
    left.set_xticks([0, 1], ["called moving", "not called moving"])
    left.set_yticks([0, 1], ["truth: moving", "truth: static"], rotation=90, va="center")
    iou = "n/a" if c.iou is None else f"{c.iou:.4f}"
    left.set_title(f"{report.model}: moving IoU {iou}, {report.scans} scans", fontsize=11)
    if report.breakdown.worst is None:
        right.set_axis_off()
    else:
        _scan(right, report.breakdown.worst)
    return figure


def _scan(axes: Any, worst: WorstScan) -> None:
    truth, called = worst.truth == MOVING, worst.predicted == MOVING
    counts = worst.truth != UNLABELLED
    for where, colour, size, name in (
        (~counts, _IGNORED, 0.1, "not labelled"),
        (counts & ~truth & ~called, _STATIC, 0.1, "static"),
        (truth & called, _FOUND, 2.0, "moving, found"),
        (truth & ~called, _MISSED, 2.0, "moving, missed"),
        (counts & ~truth & called, _FALSE, 2.0, "static, called moving"),
    ):
        x, y = worst.points[where, 0], worst.points[where, 1]
        axes.scatter(x, y, s=size, c=colour, lw=0, label=f"{name} ({len(x):,})", rasterized=True)
    axes.set_xlim(-_EXTENT_M, _EXTENT_M)
    axes.set_ylim(-_EXTENT_M, _EXTENT_M)
    axes.set_aspect("equal")
    axes.set_title(f"most errors: scan {worst.name} (metres, x forward)", fontsize=11)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    for handle in legend.legend_handles:
        handle.set_sizes([30.0])
