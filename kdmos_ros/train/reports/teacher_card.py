"""Writes the card of a trained teacher: how it was made and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdmos_ros.train.fitting.metrics_file import METRICS_FILE, read_metrics
from kdmos_ros.train.fitting.trained_teacher import WEIGHTS, TrainedTeacher
from kdmos_ros.train.reports.card import CARD, NOTES, lags_text, origin
from kdmos_ros.train.reports.card_tables import (
    HEADINGS,
    SHARES,
    cell,
    markdown_table,
    percent,
    validation_objects,
)


def write_teacher_card(teacher: TrainedTeacher, folder: Path) -> list[Path]:
    """Write CARD.md from the folder of a teacher, with its figures and NOTES.md if it has them.

    Returns:
        Files of metrics that were left out because they were measured with other weights.

    Raises:
        KdmosError: the file of metrics cannot be read, or holds something else.
    """
    metrics, notes = read_metrics(folder), folder / NOTES
    current = metrics.get("teacher") == teacher.source
    sections = [
        _facts(teacher, folder),
        *([_validation(teacher, metrics)] if current else []),
        *([notes.read_text(encoding="utf-8").strip()] if notes.exists() else []),
    ]
    (folder / CARD).write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return [folder / METRICS_FILE] if metrics and not current else []


def _facts(teacher: TrainedTeacher, folder: Path) -> str:
    made, window = teacher.training, teacher.window
    recipe = made["recipe"]
    later = sorted(-lag for lag in window.lags_s + window.look_lags_s if lag < 0)
    past = sorted(lag for lag in window.lags_s + window.look_lags_s if lag > 0)
    rows = {
        **origin(made, recipe["teacher"]["fit"]),
        "size": f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB",
        "scans": f"{lags_text(past)} s ago, {lags_text(later) or 'none'} s after",
        "range": f"{window.range_m:g} m",
    }
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    what = "Labels the scans of complete drives, so that a student can learn from it."
    return f"# {recipe['name']}: the teacher\n\n{what}\n\n| | |\n|---|---|\n{lines}"


def _validation(teacher: TrainedTeacher, metrics: Mapping[str, Any]) -> str:
    def row(name: str, part: Mapping[str, Any]) -> list[str]:
        shares = [cell(part[key]) for key in SHARES]
        return [name, *shares, percent(part["false_positive_share"])]

    data = teacher.training["recipe"]["data"]
    by_range = [row(name, part) for name, part in metrics["by_range"].items() if part["points"]]
    kinds = [
        [name, cell(part["recall"]), percent(part["false_positive_share"])]
        for name, part in metrics["by_class"].items()
        if part["points_moving"]
    ]
    return f"""## Validation

{data["validation_drives"]} simulated drives that training never saw, at the threshold with the
highest IoU on them ({metrics["threshold"]:g}), with each point labelled on its own.

{markdown_table(("range", *HEADINGS), [row("all", metrics), *by_range])}

{markdown_table(("class", "recall", "static called moving"), kinds)}{validation_objects(metrics)}"""
