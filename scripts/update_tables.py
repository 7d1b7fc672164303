"""Writes what comes from the code and from models' figures: tables of README and docs/, mos.yaml.

python3 scripts/update_tables.py [--check]    (`make tables`)

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`. With --check nothing is written; the
exit status is 1 if a file would change.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "README.md",
    "docs/interface.md",
    "docs/lidar.md",
    "docs/offline.md",
    "docs/results.md",
    "docs/troubles.md",
)
PARAMETER_FILE = "config/mos.yaml"
CLIPS = {
    "kitti_0005": "HDL-64E, 10 Hz: a van, a cyclist, pedestrians, a car",
    "lyft_a": "40 beams, 5 Hz, no intensity: a crossing with many cars",
    "kitti_0001": "HDL-64E, 10 Hz: nothing else moves",
}
MODELS = ("kdmos_s",)
# The figures of --offline with the default model are the teacher's.
OFFLINE = "kdmos_teacher"
BANDS = ("0-20 m", "20-35 m", "35-50 m", "50-80 m")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def parameters() -> str:
    """The node's parameters."""
    from kdmos_ros.ros.parameter_table import SPECS

    def shown(value: Any) -> str:
        if value == "":
            return "empty"
        return str(value).lower() if isinstance(value, bool) else str(value)

    rows = [
        [f"`{s.name}`", shown(s.default), "yes" if s.live else "", s.description] for s in SPECS
    ]
    return table(["parameter", "default", "live", "meaning"], rows)


def commands() -> str:
    """The sub-commands of kdmos, as `kdmos --help` lists them."""
    from kdmos_ros.cli import make_parser

    (action,) = (a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    rows = [[f"`kdmos {c.dest}`", str(c.help)] for c in action._choices_actions]
    return table(["command", "what it does"], sorted(rows))


def sensors() -> str:
    """What config/sensors/*.yaml sets."""
    import yaml

    bases = {"stamp": "after the stamp", "absolute": "since 1970", "auto": "as found"}
    rows = []
    for path in sorted((ROOT / "config" / "sensors").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)["/**"]["ros__parameters"]
        driver = re.match(r"#\s*(.+)", text)
        intensity, time = "as found", "as found"
        if values["intensity_field"]:
            intensity = f"`{values['intensity_field']}` / {values['intensity_scale']:g}"
        if values["time_field"]:
            unit, base = values["time_unit"], bases[values["time_base"]]
            time = f"`{values['time_field']}`, {unit} {base}"
        rows.append([f"`{path.stem}`", driver[1].rstrip(".") if driver else "", intensity, time])
    return table(["`sensor`", "driver", "intensity", "time of a point"], rows)


def parameter_file() -> str:
    """config/mos.yaml: every parameter at its default, with its description."""
    from kdmos_ros.ros.parameter_table import SPECS

    lines = [
        "# Parameters of mos_node, all at their defaults. `ros2 param describe` shows the ranges.",
        "# Launch: ros2 launch kdmos_ros mos.launch.py params_file:=<your copy of this file>",
        "# Written by `make tables` from kdmos_ros/ros/parameter_table.py.",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in SPECS:
        notes = [spec.description]
        notes += [f"One of: {', '.join(spec.choices)}."] if spec.choices else []
        notes += ["May change while the node runs."] if spec.live else []
        wrapped = textwrap.wrap(" ".join(notes), 94, break_on_hyphens=False)
        lines += [
            *(f"    # {line}" for line in wrapped),
            f"    {spec.name}: {json.dumps(spec.default)}",
        ]
    return "\n".join([*lines, ""])


def figures(model: str, clip: str) -> dict[str, Any] | None:
    """What `kdmos eval --json` wrote for the card of a model, or None."""
    path = ROOT / "models" / model / "figures" / f"{clip}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _row(model: str, clip: str, about: dict[str, Any]) -> list[str]:
    def share(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    moves = about["tp"] + about["fn"] > 0
    objects = about.get("by_object")
    points = [share(about[key]) if moves else "-" for key in ("iou_moving", "precision", "recall")]
    name = f"`{MODELS[0]} --offline`" if model == OFFLINE else f"`{model}`"
    if objects is None:
        return [clip, name, *points, *["-"] * (len(BANDS) + 1)]
    bands = [
        f"{band['found']} of {band['objects']}" if band["objects"] else "-"
        for band in objects["by_range"][: len(BANDS)]
    ]
    return [clip, name, *points, *bands, share(objects["false_alarms_a_scan"], 2)]


def results() -> str:
    """The default model on real clips, by point and by object."""
    return _results(MODELS[:1])


def offline_results() -> str:
    """The same beside labels made offline."""
    return _results((MODELS[0], OFFLINE))


def all_results() -> str:
    """All models that a node runs at once, likewise."""
    return _results(MODELS)


def _results(models: tuple[str, ...]) -> str:
    rows = [
        _row(model, clip, about)
        for clip in CLIPS
        for model in models
        if (about := figures(model, clip)) is not None
    ]
    head = ["clip", "model", "IoU", "precision", "recall"]
    head += [f"found {BANDS[0]}", *BANDS[1:], "false alarms a scan"]
    where = "; ".join(f"{clip}: {what}" for clip, what in CLIPS.items())
    return f"{table(head, rows)}\n\n{where}."


def maps() -> str:
    """Static maps of --offline on the clips in which something moves, and DUFOMap's."""
    rows = []
    for clip in CLIPS:
        for model, name in ((OFFLINE, "`--offline --map`"), ("dufomap", "DUFOMap 1.1.1")):
            about = (figures(model, clip) or {}) if model == OFFLINE else _dufomap(clip)
            found = about.get("map")
            if found and found["associated_accuracy"] is not None:
                keys = ("static", "dynamic", "associated", "harmonic")
                rows.append([clip, name, *(f"{found[f'{key}_accuracy']:.4f}" for key in keys)])
    return table(["clip", "map", "SA", "DA", "AA", "HA"], rows)


def _dufomap(clip: str) -> dict[str, Any]:
    """What `scripts/compare_dufomap.py --json` wrote."""
    path = ROOT / "docs" / "dufomap" / f"{clip}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _remedies(name: str) -> str:
    from kdmos_ros import remedies

    rows = [[f"`{key}`", what.cause, what.remedy] for key, what in getattr(remedies, name).items()]
    return table(["name", "cause", "what to do"], rows)


def health() -> str:
    """What the health monitor complains about."""
    return _remedies("HEALTH")


def drops() -> str:
    """Why a cloud gets no labels."""
    return _remedies("DROPS")


def pose_drops() -> str:
    """Why a cloud has no pose."""
    return _remedies("POSE_DROPS")


def events() -> str:
    """What is counted besides."""
    return _remedies("EVENTS")


_MAKERS = (
    parameters, commands, sensors, results, offline_results, all_results, maps, health, drops,
    pose_drops, events,
)  # fmt: skip
BLOCKS = {f.__name__: f for f in _MAKERS}


def updated(text: str) -> str:
    """A document with its tables made anew."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{BLOCKS[name]()}\n<!-- /{name} -->"

    names = "|".join(BLOCKS)
    return re.sub(rf"<!-- ({names}) -->.*?<!-- /\1 -->", block, text, flags=re.DOTALL)


def main() -> int:
    """Write, or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name in (*FILES, PARAMETER_FILE):
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = parameter_file() if name == PARAMETER_FILE else updated(old)
        if new != old:
            stale.append(name)
            if not check:
                path.write_text(new, encoding="utf-8")
    if check and stale:
        print(f"out of date: {', '.join(stale)}; run: make tables", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
