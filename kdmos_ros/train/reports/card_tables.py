"""Tables of a model's card, from the JSON that `kdmos eval` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]
SHARES = ("iou_moving", "precision", "recall")
HEADINGS = ("moving IoU", "precision", "recall", "static called moving")


def simulated(name: str, content: Content) -> str:
    """A section with tables by sensor, range, class and speed."""
    rows = [("all", content), *content["by_sensor"].items()]
    if len(content["by_sensor"]) < 2:
        rows = [(", ".join(content["by_sensor"]) or "all", content)]
    by_range = [(_band(band, "m"), band) for band in content["by_range"] if _counts(band)]
    tables = [
        markdown_table(("sensor", *HEADINGS), ([name, *_row(part)] for name, part in rows)),
        markdown_table(("range", *HEADINGS), ([name, *_row(part)] for name, part in by_range)),
        markdown_table(
            ("class", "points moving", "recall", "points still", "still called moving"),
            (
                [
                    kind, f"{part['points_moving']:,}", cell(part["recall"]),
                    f"{part['points_still']:,}", percent(part["false_positive_share"]),
                ]
                for kind, part in content["by_class"].items()
                if part["points_moving"]
            ),
        ),
        markdown_table(
            ("speed", "points moving", "recall"),
            (
                [_band(band, "mps"), f"{band['tp'] + band['fn']:,}", cell(band["recall"])]
                for band in content["by_speed"]
                if band["tp"] + band["fn"]
            ),
        ),
    ]  # fmt: skip
    return "\n\n".join([f"## Simulated: {name}", f"`{content['command']}`", *filter(None, tables)])


def recordings(contents: Mapping[str, Content]) -> str:
    """A section with one row for each recording."""
    bands = [_band(band, "m") for band in next(iter(contents.values()))["by_range"][:-1]]
    table = markdown_table(
        ("recording", "scans", *HEADINGS, *(f"IoU {band}" for band in bands)),
        (
            [name, str(content["scans"]), *_row(content),
             *(cell(band["iou_moving"]) for band in content["by_range"][:-1])]
            for name, content in contents.items()
        ),
    )  # fmt: skip
    commands = "\n".join(f"- {name}: `{content['command']}`" for name, content in contents.items())
    return f"## Recordings\n\n{table}\n\n{commands}"


def delays(name: str, parts: Sequence[Content]) -> str:
    """A section with one row for each delay that one evaluation compared."""
    table = markdown_table(
        ("delay", "seconds", *HEADINGS),
        (
            [f"{part['lookahead']} scans", f"{part['delay_s'] or 0:g}", *_row(part)]
            for part in parts
        ),
    )
    return f"## Delay: {name}\n\n`{parts[0]['command']}`\n\n{table}"


def _row(part: Content) -> list[str]:
    return [*(cell(part[name]) for name in SHARES), percent(part["false_positive_share"])]


def _counts(part: Content) -> int:
    return int(part["tp"] + part["fp"] + part["fn"] + part["tn"])


def _band(band: Content, unit: str) -> str:
    start, end = band[f"from_{unit}"], band[f"to_{unit}"]
    unit = {"mps": "m/s"}.get(unit, unit)
    return f"over {start:g} {unit}" if end is None else f"{start:g}-{end:g} {unit}"


def cell(value: float | None) -> str:
    """A share, such as an IoU."""
    return "-" if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A small share."""
    return "-" if share is None else f"{100 * share:.3f} %"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty if it has no rows."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings), *lines])
