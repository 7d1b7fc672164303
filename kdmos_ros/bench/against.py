"""Times this code and another checkout of it in turn, so that a busy machine slows both alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError

OURS = Path(__file__).resolve().parents[2]
_COMMAND = ("-m", "kdmos_ros.cli", "bench")
_WHERE = "import kdmos_ros; print(kdmos_ros.__file__)"


@dataclass(frozen=True)
class Row:
    """One figure of both: the medians over the rounds, and the median of the rounds' ratios."""

    name: str
    unit: str
    this: float
    other: float
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """What both were asked and gave.

    Attributes:
        this, other: names of the two builds.
        words: of `kdmos bench`.
        rounds: how often each was timed.
        rows: by configuration, as "kdmos_s, cpu, fp32".
    """

    this: str
    other: str
    words: tuple[str, ...]
    rounds: int
    rows: dict[str, list[Row]]

    def to_text(self) -> str:
        """Tables for the terminal, which are Markdown too."""
        lines = [f"{self.this} against {self.other}, {self.rounds} rounds in turn"]
        for title, rows in self.rows.items():
            lines += [
                "",
                title,
                "",
                "| figure | this | other | ratio |",
                "| --- | --- | --- | --- |",
            ]
            lines += [
                f"| {row.name}, {row.unit} | {row.this:.2f} | {row.other:.2f} | {row.ratio:.2f} |"
                for row in rows
            ]
        return "\n".join(lines)

    def to_json(self, machine: Mapping[str, Any], command: str) -> dict[str, Any]:
        """Content of a JSON file."""
        return {"machine": dict(machine), "command": command, "against": asdict(self)}


def compare(other: Path, words: Sequence[str], rounds: int) -> Comparison:
    """Run `kdmos bench WORDS` of both, in turn, with this Python and its packages.

    Args:
        other: a checkout of this package, which needs no environment of its own.
        words: options that both know; the drive is among them.
        rounds: how often each is timed; the order changes from one round to the next.

    Raises:
        KdmosError: there is no such checkout, or one of the two fails.
    """
    builds = (OURS, other.resolve())
    _check(builds[1])
    # Both run elsewhere than here.
    words = [str(Path(w).resolve()) if os.sep in w and Path(w).exists() else w for w in words]
    files: dict[Path, list[dict[str, Any]]] = {build: [] for build in builds}
    for number in range(rounds):
        for build in builds if number % 2 == 0 else reversed(builds):
            files[build].append(_figures(build, words))
    this, theirs = (files[build] for build in builds)
    return Comparison(_name(OURS), _name(builds[1]), tuple(words), rounds, _rows(this, theirs))


def _check(checkout: Path) -> None:
    """Raise KdmosError unless Python would run the code of a checkout."""
    if not (checkout / "kdmos_ros" / "__init__.py").is_file():
        raise KdmosError(f"--against {checkout}: not a checkout, it has no kdmos_ros/__init__.py")
    found = Path(_output(checkout, ("-c", _WHERE)).strip()).resolve()
    if checkout not in found.parents:
        raise KdmosError(f"--against {checkout}: Python would run {found.parent} instead")


def _figures(checkout: Path, words: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kdmos_bench_") as folder:
        file = Path(folder) / "figures.json"
        _output(checkout, (*_COMMAND, *words, "--json", str(file)))
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content


def _output(checkout: Path, arguments: Sequence[str]) -> str:
    """What Python prints with the checkout's package."""
    path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *arguments],
        # Not where it was started: Python looks there first, and one of the two may be there.
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KdmosError(f"{checkout}: kdmos bench failed: {last.removeprefix('kdmos: error: ')}")
    return done.stdout


def _name(checkout: Path) -> str:
    """The commit, if git knows it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return checkout.name
    return done.stdout.strip() or checkout.name


def _rows(
    this: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> dict[str, list[Row]]:
    result: dict[str, list[Row]] = {}
    for i, run in enumerate(this[0]["runs"]):
        provider = str(run["provider"]).removesuffix("ExecutionProvider")
        threads = f", {run['threads']} threads" if run["threads"] else ""
        figures = [[_of_run(content, i) for content in side] for side in (this, other)]
        names = [name for name in figures[0][0] if name in figures[1][0]]
        title = f"{run['model']}, {provider}, {run['precision']}{threads}, {run['points']} points"
        result[title] = [_row(name, *figures) for name in names]
    return result


def _of_run(content: Mapping[str, Any], i: int) -> dict[tuple[str, str], float]:
    """(what, unit) -> figure of one of a file's runs."""
    run = content["runs"][i]
    stages = {(stage, "ms"): float(p["p50"]) for stage, p in run["stages_ms"].items()}
    both = [stages[name] for name in (("residual", "ms"), ("features", "ms")) if name in stages]
    found = {
        **stages,
        ("residual + features", "ms"): sum(both),
        ("total", "ms"): float(run["latency_ms"]["p50"]),
        ("total, 99th percentile", "ms"): float(run["latency_ms"]["p99"]),
        ("first label", "s"): float(run["first_label_s"]),
        ("peak memory", "MB"): float(run["peak_memory_mb"]),
    }
    over_dds = [row for row in content["over_dds"] if row["rate_hz"] is None]
    if i < len(over_dds):
        found["peak memory of the node", "MB"] = float(over_dds[i]["peak_memory_mb"])
        found["over DDS", "ms"] = float(over_dds[i]["latency_ms"]["p50"])
    return found


def _row(
    name: tuple[str, str],
    this: Sequence[Mapping[tuple[str, str], float]],
    other: Sequence[Mapping[tuple[str, str], float]],
) -> Row:
    ours, theirs = ([figures[name] for figures in side] for side in (this, other))
    ratios = [a / b if b else float("nan") for a, b in zip(ours, theirs, strict=True)]
    medians = (statistics.median(values) for values in (ours, theirs, ratios))
    return Row(*name, *medians)
