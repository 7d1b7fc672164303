"""How much of the IoU is left when something about a recording changes: a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kdmos_ros.evaluation.bag_evaluation import Report

Change = TypeVar("Change")


@dataclass(frozen=True)
class Row(Generic[Change]):
    """One change, a dataclass of plain values, and what was measured with it."""

    name: str
    change: Change
    report: Report


def measure(
    cases: Iterable[tuple[str, Change]],
    evaluate: Callable[[Change], Report],
    on_row: Callable[[Row[Change]], None],
) -> list[Row[Change]]:
    """Evaluate each case, (name, change); `on_row` is told as they are done."""
    rows = []
    for name, change in cases:
        rows.append(Row(name, change, evaluate(change)))
        on_row(rows[-1])
    return rows


def to_dict(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Content of the JSON file."""
    return [{"name": row.name, **row.change.__dict__, **row.report.to_dict()} for row in rows]


def to_markdown(rows: Sequence[Row[Any]], what: str) -> str:
    """The table, IoU in percent; the change is in points against the first row.

    Args:
        what: is changed, the head of the first column.
    """
    lines = [
        f"| {what} | moving IoU | change | precision | recall | scans labelled | dropped |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    first = rows[0].report.confusion.iou
    for row in rows:
        c = row.report.confusion
        change = "" if c.iou is None or first is None else f"{100 * (c.iou - first):+.1f}"
        figures = [_percent(c.iou), change, _percent(c.precision), _percent(c.recall)]
        dropped = sum(row.report.dropped.values())
        cells = [row.name, *figures, str(row.report.scans), str(dropped)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"
