"""Writes a model's card: how the model was made and how good it is.

The specification, MODEL/figures/*.json (written by `kdmos eval DATA --json`) and MODEL/NOTES.md are
its only sources: no other part of a card is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.train.reports.card_tables import delays, recordings, simulated, validation_objects

CARD, FIGURES, NOTES = "CARD.md", "figures", "NOTES.md"


def write_card(spec: ModelSpec, folder: Path) -> list[Path]:
    """Write CARD.md of the model in a folder.

    Returns:
        Files of figures that were left out because they were measured with other weights.

    Raises:
        KdmosError: a file of figures cannot be read, or holds something else.
    """
    contents = {path: _read(path) for path in sorted((folder / FIGURES).glob("*.json"))}
    stale = [path for path, parts in contents.items() if parts[0]["weights"] != spec.weights]
    current = {path.stem: parts for path, parts in contents.items() if path not in stale}
    curves = {name: parts for name, parts in current.items() if len(parts) > 1}
    single = {name: parts[0] for name, parts in current.items() if name not in curves}
    drawn = {name: c for name, c in single.items() if c["data"].startswith("sim:")}
    recorded = {name: c for name, c in single.items() if name not in drawn}
    notes = folder / NOTES
    sections = [
        _facts(spec, folder),
        _validation(spec.training),
        *(simulated(name, content) for name, content in drawn.items()),
        *([recordings(recorded)] if recorded else []),
        *(delays(name, parts) for name, parts in curves.items()),
        *([notes.read_text(encoding="utf-8").strip()] if notes.exists() else []),
        _graphs(spec),
    ]
    (folder / CARD).write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return stale


def _read(path: Path) -> Sequence[dict[str, Any]]:
    """What a file holds: one evaluation, or one for each delay."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = content if isinstance(content, list) else [content]
        known = ({"weights", "data", "command", "iou_moving"} <= part.keys() for part in parts)
        if not parts or not all(known):
            raise ValueError("not written by kdmos eval --json")
    except (OSError, ValueError, AttributeError) as error:
        raise KdmosError(f"{path}: not figures for a card: {error}") from error
    return parts


def _facts(spec: ModelSpec, folder: Path) -> str:
    made = spec.training
    recipe = made["recipe"]
    fit = recipe["fit"]
    size = sum((folder / name).stat().st_size for name in spec.sha256) / 1e6
    rows = {
        **origin(made, fit),
        "started from": f"`{fit['start_from']}`" if fit.get("start_from") else "",
        "weights": _mean(fit.get("averaged_with", ())),
        "teacher": _teacher(recipe),
        "multiply-accumulates": _macs(made),
        "size": f"{size:.1f} MB",
        "grid": f"{spec.grid.n_rho} x {spec.grid.n_phi}, {spec.grid.rho_min:g} to"
        f" {spec.grid.rho_max:g} m",
        "past scans": f"{lags_text(spec.features.visibility.lags_s)} s ago",
        "later scans": _later(spec.features.visibility.future_lags_s),
        "intensity": "used" if "intensity" in spec.features.point else "not used",
    }
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    return f"# {spec.name}\n\nFinds moving points in LiDAR scans.\n\n| | |\n|---|---|\n{lines}"


def origin(made: Mapping[str, Any], fit: Mapping[str, Any]) -> dict[str, str]:
    """Rows of a card: how a network was made.

    Args:
        made: what `pipeline` notes of it.
        fit: the part of its recipe that fitted it.
    """
    return {
        "command": f"`{made['command']}`",
        "code": made["code"],
        "data": _data(made["recipe"]["data"]),
        "seed": str(made["recipe"]["seed"]),
        "steps": f"{fit['steps']}, {fit['batch_size']} scans each",
        "machine": f"{made['cpu_cores']} CPU cores, {made['device']}; {made['minutes']:g} minutes",
        "parameters": f"{made['parameters']:,}",
    }


def _mean(others: Sequence[str]) -> str:
    names = ", ".join(f"`{name}`" for name in others)
    return f"mean of the weights trained here and {names}" if others else ""


def _later(lags: Sequence[float]) -> str:
    return f"{lags_text(lags)} s after, if lookahead waits for them" if lags else ""


def lags_text(seconds: Sequence[float]) -> str:
    """Ages of scans, seconds, as a list in words."""
    return ", ".join(f"{lag:g}" for lag in seconds)


def _data(data: Mapping[str, Any]) -> str:
    parts = []
    if data["drives"]:
        sensors = ", ".join(f"{name} {share:g}" for name, share in data["sensors"].items())
        parts.append(
            f"{data['drives']} simulated drives of {data['scans']} scans, sensors: {sensors}"
        )
    for source in data.get("sources", ()):
        which = ", ".join(source["sequences"] or source["splits"])
        parts.append(f"{source['name'] or Path(source['path']).name} ({which})")
    only = "" if data.get("sources") else "; no recorded data"
    return "; ".join(parts) + only


def _teacher(recipe: Mapping[str, Any]) -> str:
    distil = recipe["distil"]
    if distil is None:
        return "none"
    source = "logits from an external teacher"
    if distil["external"] is None and recipe["teacher"].get("trained"):
        source = f"`{recipe['teacher']['trained']}`"
    elif distil["external"] is None:
        source = f"trained by the same recipe, {recipe['teacher']['fit']['steps']} steps"
    return f"{source}; {distil['weight']:g} x {distil['loss']}"


def _macs(made: Mapping[str, Any]) -> str:
    if "macs" not in made:
        return ""
    return f"{made['macs'] / 1e9:.2f} billion for a scan of {made['macs_points']:,} points"


def _validation(made: Mapping[str, Any]) -> str:
    recipe, figures = made["recipe"], made["simulated_validation"]
    data = recipe["data"]
    recorded = data.get("validation") or data.get("sources", ())
    share = figures["false_alarms_without_movers"]
    alarms = "-" if share is None else f"{100 * share:.3f} %"
    what = "Held-out drives" if recorded else f"{data['validation_drives']} simulated drives"
    low = recipe["fit"].get("connected_threshold")
    chosen = (
        "The threshold was chosen on them: the lowest at which at most\n"
        f"{100 * recipe['fit']['false_alarms']:g} % of the points in drives without moving objects"
        " are called moving."
        if recipe["fit"].get("moving_threshold") is None
        else "The threshold was chosen on recordings."
    )
    connected = (
        f"\n\nPoints with a moving probability of at least {low:g} also count as moving if they are"
        " connected to moving points (`kdmos_ros/segmentation/hysteresis.py`)."
        if low is not None
        else ""
    )
    return f"""## Validation

{what} that training never saw. {chosen}

| threshold | moving IoU | precision | recall | called moving in drives without moving objects |
|---|---|---|---|---|
| {figures["threshold"]:g} | {figures["iou_moving"]:.3f} | {figures["precision"]:.3f} | \
{figures["recall"]:.3f} | {alarms} |{connected}{validation_objects(figures)}"""


def _graphs(spec: ModelSpec) -> str:
    hashes = "\n".join(f"| `{name}` | `{value}` |" for name, value in spec.sha256.items())
    return f"## Graphs\n\n| file | SHA-256 |\n|---|---|\n{hashes}"
