"""Tables of a model's card, from the JSON that `kdmos eval` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]
SHARES = ("iou_moving", "precision", "recall")
HEADINGS = ("moving IoU", "precision", "recall", "static called moving")


def simulated(name: str, content: Content) -> str:
    """A section with tables by sensor, range, class and speed, and by object."""
    rows = [("all", content), *content["by_sensor"].items()]
    if len(content["by_sensor"]) < 2:
        rows = [(", ".join(content["by_sensor"]) or "all", content)]
    by_range = [(_band(band, "m"), band) for band in content["by_range"] if _counts(band)]
    tables = [
        markdown_table(("sensor", *HEADINGS), ([name, *_row(part)] for name, part in rows)),
        markdown_table(("range", *HEADINGS), ([name, *_row(part)] for name, part in by_range)),
        markdown_table(
            ("class", "points moving", "recall", "points static", "static called moving"),
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
    tables.append(_objects(content))
    return "\n\n".join([f"## Simulated: {name}", f"`{content['command']}`", *filter(None, tables)])


def recordings(contents: Mapping[str, Content]) -> str:
    """A section with one row for each recording, by point and by object."""
    bands = [_band(band, "m") for band in next(iter(contents.values()))["by_range"][:-1]]
    table = markdown_table(
        ("recording", "scans", *HEADINGS, *(f"IoU {band}" for band in bands)),
        (
            [name, str(content["scans"]), *_row(content),
             *(cell(band["iou_moving"]) for band in content["by_range"][:-1])]
            for name, content in contents.items()
        ),
    )  # fmt: skip
    found = _recorded_objects(contents)
    commands = "\n".join(f"- {name}: `{content['command']}`" for name, content in contents.items())
    return "\n\n".join(filter(None, ["## Recordings", table, found, commands]))


def _recorded_objects(contents: Mapping[str, Content]) -> str:
    """Share of the objects found by range; empty where no recording tells."""
    known = {name: content["by_object"] for name, content in contents.items() if _knows(content)}
    if not known:
        return ""
    bands = [_band(band, "m") for band in next(iter(known.values()))["by_range"][:-1]]
    return markdown_table(
        ("recording", *(f"objects found {band}" for band in bands), "false alarms a scan"),
        (
            [name, *(_found(band) for band in part["by_range"][:-1]),
             _number(part["false_alarms_a_scan"])]
            for name, part in known.items()
        ),
    )  # fmt: skip


def _objects(content: Content) -> str:
    """Objects found by range, class and speed; empty where the evaluation does not tell."""
    if not _knows(content):
        return ""
    part = content["by_object"]
    rows = {
        "all": part,
        **{_band(band, "m"): band for band in part["by_range"]},
        **part["by_class"],
        **{_band(band, "mps"): band for band in part["by_speed"]},
    }
    table = markdown_table(
        ("moving objects", "objects", "found"),
        (
            [name, f"{row['objects']:,}", cell(row["recall"])]
            for name, row in rows.items()
            if row["objects"]
        ),
    )
    alarms = (
        f"{_number(part['false_alarms_a_scan'])} false alarms a scan. An object is found if half of"
        " its points are called moving (`docs/evaluation.md`)."
    )
    return "\n\n".join(filter(None, [table, alarms]))


def validation_objects(figures: Content) -> str:
    """A table of `ObjectCurve.summary` after an empty line; empty for models made before it."""
    if "by_object" not in figures:
        return ""
    part = figures["by_object"]
    bands = {name: band for name, band in part["by_range"].items() if band["objects"]}
    table = markdown_table(
        ("objects found", *bands, "false alarms a scan"),
        [
            [
                _found(part), *(_found(band) for band in bands.values()),
                _number(part["false_alarms_a_scan"]),
            ]
        ],
    )  # fmt: skip
    return f"\n\n{table}"


def _knows(content: Content) -> bool:
    return bool(content.get("by_object", {}).get("scans"))


def _found(part: Content) -> str:
    return "-" if part["recall"] is None else f"{part['recall']:.3f} of {part['objects']:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


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
