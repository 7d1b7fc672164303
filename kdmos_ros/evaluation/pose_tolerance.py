"""How much of the IoU is left when the poses get worse: a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.poses.pose_noise import PoseNoise

NOISE_M = (0.01, 0.03, 0.05, 0.1, 0.15)
NOISE_DEG = (0.1, 0.25, 0.5, 1.0)
DRIFT_M = (0.05, 0.1, 0.2)
OFFSET_MS = (10.0, 20.0, 30.0, 50.0)


class Row(NamedTuple):
    """One error of the poses, and what was measured with it."""

    name: str
    error: PoseNoise
    report: Report


def cases(seed: int) -> list[tuple[str, PoseNoise]]:
    """(name, error) of each row."""
    rows = [("as recorded", PoseNoise(seed=seed))]
    rows += [(f"noise {100 * v:g} cm", PoseNoise(noise_m=v, seed=seed)) for v in NOISE_M]
    rows += [(f"noise {v:g}°", PoseNoise(noise_deg=v, seed=seed)) for v in NOISE_DEG]
    rows += [(f"drift {100 * v:g} cm in 1 s", PoseNoise(drift_m=v, seed=seed)) for v in DRIFT_M]
    rows += [("no height, roll and pitch", PoseNoise(planar=True, seed=seed))]
    rows += [(f"stamps {v:g} ms late", PoseNoise(offset_ms=v, seed=seed)) for v in OFFSET_MS]
    return rows


def measure(
    seed: int, evaluate: Callable[[PoseNoise], Report], on_row: Callable[[Row], None]
) -> list[Row]:
    """Evaluate each case; `on_row` is told as they are done."""
    rows = []
    for name, error in cases(seed):
        rows.append(Row(name, error, evaluate(error)))
        on_row(rows[-1])
    return rows


def to_dict(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Content of the JSON file."""
    return [{"name": row.name, **row.error.__dict__, **row.report.to_dict()} for row in rows]


def to_markdown(rows: Sequence[Row]) -> str:
    """The table, IoU in percent; the change is in points against the first row."""
    lines = [
        "| poses | moving IoU | change | precision | recall | scans labelled | dropped |",
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
