"""The tables of an ablation, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.breakdown import RANGE_EDGES_M, band_names
from kdmos_ros.evaluation.object_score import OBJECT_RANGE_EDGES_M
from kdmos_ros.train.ablation import Plan, Row
from kdmos_ros.train.fitting.metrics_file import METRICS_FILE, read_metrics

_FAR = band_names(RANGE_EDGES_M, "m")[-2]
_SCORES = (
    "moving IoU", "false alarms", "missed", f"IoU {_FAR}", "pedestrians", "cyclists",
    "objects found", "pedestrians found", "false alarms a scan",
)  # fmt: skip
_KINDS = ("pedestrian", "bicycle")  # a cyclist is part of the bicycle
_TEACHER = "teacher"


def report(plan: Plan, work: Path, command: str) -> str:
    """Every group's table, how to make each row, and the teacher beside the first group's rows.

    Raises:
        KdmosError: a student has no figures yet; names it.
    """
    parts = [f"Made by `{command}`; the recipe is `{plan.recipe}`.\n"]
    for group, rows in groupby(plan.rows, key=lambda row: row.group):
        members = list(rows)
        head = (group, "seeds", *_SCORES, "parameters", "MMAC")
        parts.append(f"## {group}\n")
        parts.append("\n".join(_table((_line(plan, row, work) for row in members), head)) + "\n")
        for row in members:
            parts.append(f"- {row.name}: `{plan.command(row, row.seeds[0], work)}`")
        parts.append("")
        if plan.recordings:
            parts.append("\n".join(_on_recordings(plan, members, work)) + "\n")
    if read_metrics(work / _TEACHER):
        parts.append("## Teacher and students\n")
        parts.append("\n".join(_beside_the_teacher(plan, work)) + "\n")
    return "\n".join(parts)


def _on_recordings(plan: Plan, rows: Sequence[Row], work: Path) -> list[str]:
    """Figures on each recording, at the thresholds of the simulated drives."""
    lines = []
    for name in plan.recordings:
        for row in rows:
            figures = [run["recordings"][name] for run in _runs(plan, row, work)]
            objects = [part["by_object"] for part in figures]
            bands = zip(*(part["by_range"] for part in objects), strict=True)
            lines.append(
                [
                    name,
                    row.name,
                    _known([part["iou_moving"] for part in figures], "{:.3f}"),
                    *(_known([part["recall"] for part in band], "{:.2f}") for band in bands),
                    _known([part["false_alarms_a_scan"] for part in objects], "{:.2f}"),
                ]
            )
    ranges = [f"found {name}" for name in band_names(OBJECT_RANGE_EDGES_M, "m")]
    return _table(lines, ("recording", "", "moving IoU", *ranges, "false alarms a scan"))


def _beside_the_teacher(plan: Plan, work: Path) -> list[str]:
    """IoU by range and recall by class: means over the seeds."""
    columns = {"teacher": [read_metrics(work / _TEACHER)]}
    for row in plan.rows:
        if row.group == plan.rows[0].group:
            columns[row.name] = _runs(plan, row, work)
    teacher = columns["teacher"][0]
    kinds = [kind for kind, part in teacher["by_class"].items() if part["recall"] > 0]
    lines = [["moving IoU", *(_mean(runs, "iou_moving") for runs in columns.values())]]
    for part, key, title in (("by_range", "iou_moving", "IoU"), ("by_class", "recall", "recall")):
        lines += [
            [
                f"{title}, {name}",
                *(_mean(_parts(runs, part, name), key) for runs in columns.values()),
            ]
            for name in (teacher["by_range"] if part == "by_range" else kinds)
        ]
    return _table(lines, ("", *columns))


def _parts(runs: Sequence[dict[str, Any]], part: str, name: str) -> list[dict[str, Any]]:
    return [run[part][name] for run in runs if name in run[part]]


def _mean(parts: Sequence[dict[str, Any]], key: str) -> str:
    return f"{sum(part[key] for part in parts) / len(parts):.3f}" if parts else "-"


def _runs(plan: Plan, row: Row, work: Path) -> list[dict[str, Any]]:
    """Figures of a row's students."""
    runs = []
    for seed in row.seeds:
        folder = work / row.student(seed)
        runs.append(read_metrics(folder))
        if not runs[-1]:
            command = plan.command(row, seed, work)
            raise KdmosError(f"{folder / METRICS_FILE}: not there; run `{command}`")
    return runs


def _line(plan: Plan, row: Row, work: Path) -> list[str]:
    runs = _runs(plan, row, work)
    return [
        row.name,
        str(len(row.seeds)),
        *_scores(runs),
        f"{runs[0]['parameters']:,}",
        f"{runs[0]['macs'] / 1e6:,.0f}",
    ]


def _scores(runs: Sequence[dict[str, Any]]) -> list[str]:
    return [
        _spread([run["iou_moving"] for run in runs], "{:.3f}"),
        _spread([100 * run["false_positive_share"] for run in runs], "{:.2f} %"),
        _spread([100 * (1 - run["recall"]) for run in runs], "{:.1f} %"),
        _spread([run["by_range"][_FAR]["iou_moving"] for run in runs], "{:.3f}"),
        *(
            _spread([100 * run["by_class"][kind]["recall"] for run in runs], "{:.0f} %")
            if all(kind in run["by_class"] for run in runs)
            else "-"
            for kind in _KINDS
        ),
        _known([run["by_object"]["recall"] for run in runs], "{:.3f}"),
        _known(
            [run["by_object"]["by_class"].get(_KINDS[0], {}).get("recall") for run in runs],
            "{:.3f}",
        ),
        _known([run["by_object"]["false_alarms_a_scan"] for run in runs], "{:.2f}"),
    ]


def _known(values: Sequence[float | None], form: str) -> str:
    """As `_spread`; "-" unless all are known."""
    known = [value for value in values if value is not None]
    return _spread(known, form) if len(known) == len(values) else "-"


def _spread(values: Sequence[float], form: str) -> str:
    """The mean, and the lowest and highest where there are several."""
    mean = form.format(sum(values) / len(values))
    if len(values) == 1:
        return mean
    low, high = (form.format(end).removesuffix(" %") for end in (min(values), max(values)))
    return f"{mean} ({low}-{high})"


def _table(lines: Iterable[Sequence[str]], head: Sequence[str]) -> list[str]:
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]
