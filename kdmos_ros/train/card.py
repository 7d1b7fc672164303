"""Writes a model's card from its specification: data, command, seed, hashes, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdmos_ros.model import ModelSpec

CARD = "CARD.md"


def write_card(spec: ModelSpec, folder: Path) -> None:
    """Write CARD.md. Every figure in it comes from the specification."""
    made = spec.training
    recipe = made["recipe"]
    data, fit, figures = recipe["data"], recipe["fit"], made["simulated_validation"]
    size = sum((folder / name).stat().st_size for name in spec.sha256) / 1e6
    sensors = ", ".join(f"{name} {share:g}" for name, share in data["sensors"].items())
    hashes = "\n".join(f"| `{name}` | `{value}` |" for name, value in spec.sha256.items())
    text = f"""# {spec.name}

Finds moving points in LiDAR scans; trained on simulated drives only.

| | |
|---|---|
| command | `{made["command"]}` |
| code | {made["code"]} |
| data | {data["drives"]} simulated drives of {data["scans"]} scans, sensors: {sensors} |
| seed | {recipe["seed"]} |
| steps | {fit["steps"]}, {fit["batch_size"]} scans each |
| teacher | {_teacher(recipe)} |
| machine | {made["cpu_cores"]} CPU cores, {made["device"]}; {made["minutes"]:g} minutes |
| parameters | {made["parameters"]:,} |
| size | {size:.1f} MB |
| grid | {spec.grid.n_rho} x {spec.grid.n_phi}, {spec.grid.rho_min:g} to {spec.grid.rho_max:g} m |
| past scans | {", ".join(f"{lag:g}" for lag in spec.features.visibility.lags_s)} s ago |
| intensity | {"used" if "intensity" in spec.features.point else "not used"} |
| look-ahead | 0 |

## Figures on simulated validation

{data["validation_drives"]} drives with seeds that training never saw. The threshold was chosen
here: the lowest at which at most {100 * fit["false_alarms"]:g} % of the points of drives without
movers are called moving.

| threshold | moving IoU | precision | recall | called moving in drives without movers |
|---|---|---|---|---|
| {figures["threshold"]:g} | {figures["iou_moving"]:.3f} | {figures["precision"]:.3f} | \
{figures["recall"]:.3f} | {100 * figures["false_alarms_without_movers"]:.3f} % |

## Graphs

| file | SHA-256 |
|---|---|
{hashes}
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def _teacher(recipe: dict[str, Any]) -> str:
    distil = recipe["distil"]
    if distil is None:
        return "none"
    source = "logits made elsewhere"
    if distil["external"] is None:
        source = f"one of the same recipe, {recipe['teacher']['fit']['steps']} steps"
    return f"{source}; {distil['weight']:g} x {distil['loss']}"
