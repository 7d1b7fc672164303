"""Figures of `kdmos bench`: collected from its runs and files, as text and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdmos_ros.bench.costs import Cost
from kdmos_ros.bench.kdmos_baseline import Published
from kdmos_ros.bench.kdmos_baseline import from_json as published_from_json
from kdmos_ros.bench.machine import Peaks
from kdmos_ros.bench.soak import Soak
from kdmos_ros.bench.soak import from_json as soak_from_json
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.bench.sweep import Sweep
from kdmos_ros.bench.sweep import from_json as sweep_from_json
from kdmos_ros.errors import KdmosError

PERCENTILES = ("p50", "p90", "p99")


@dataclasses.dataclass
class Results:
    """All figures of one machine.

    Attributes:
        command: how they were made; earlier: and those of files that were taken over.
        machine: of `machine.describe`.
        peaks: by number of threads.
        over_dds: of `ros.bench_session.measure`, one a model, provider, precision and rate.
        sweeps, soaks, published: of such files.
        scores: of `kdmos eval --json`, likewise.
    """

    command: str
    machine: dict[str, Any]
    peaks: dict[int, Peaks] = dataclasses.field(default_factory=dict)
    runs: list[Run] = dataclasses.field(default_factory=list)
    over_dds: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    sweeps: list[Sweep] = dataclasses.field(default_factory=list)
    soaks: list[Soak] = dataclasses.field(default_factory=list)
    published: Published | None = None
    scores: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    earlier: list[str] = dataclasses.field(default_factory=list)

    @property
    def commands(self) -> str:
        """All of them, a line each."""
        return "\n".join(dict.fromkeys([*self.earlier, self.command]))

    def to_json(self) -> str:
        """Content of the JSON file; each run's stages have floor_ms and share, too."""
        content = {**dataclasses.asdict(self), "command": self.commands}
        for run, made in zip(self.runs, content["runs"], strict=True):
            made["floors_ms"] = floors(run, self.peaks)
        return json.dumps(content, indent=2) + "\n"

    def add_file(self, path: Path) -> None:
        """Take the figures of an earlier JSON file over.

        Args:
            path: of this command, with --sweep or --soak too, or of `kdmos eval`.

        Raises:
            KdmosError: it is no such file, or of another machine.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if "iou_moving" in content:  # is the same on every machine
                self.scores.append(content)
            else:
                machine = content["machine"]
                if any(machine[k] != self.machine[k] for k in ("processor", "cores")):
                    raise KdmosError(f"{path}: figures of another machine ({machine['processor']})")
                self._take_over(content)
            self.earlier.append(content["command"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KdmosError(f"{path}: no figures of kdmos bench: {error}") from error

    def _take_over(self, content: Mapping[str, Any]) -> None:
        if "sweep" in content:
            self.sweeps.append(sweep_from_json(content))
            return
        if "published" in content and "runs" not in content:
            self.published = published_from_json(content)
            return
        if "soak" in content:
            self.soaks.append(soak_from_json(content))
            return
        # What such a run had itself taken over stands in its file, each as in a file of its own.
        self.sweeps += [
            sweep_from_json({**sweep, "sweep": sweep["kind"]})
            for sweep in content.get("sweeps", [])
        ]
        self.soaks += [soak_from_json({"soak": soak}) for soak in content.get("soaks", [])]
        self.scores += content.get("scores", [])
        if content.get("published"):
            self.published = published_from_json(content)
        runs = [_run(values) for values in content["runs"]]
        self.add_peaks({int(n): Peaks(**values) for n, values in content["peaks"].items()})
        self.over_dds += content["over_dds"]
        self.runs += runs

    def add_peaks(self, more: Mapping[int, Peaks]) -> None:
        """The best seen counts."""
        for threads, peaks in more.items():
            known = self.peaks.get(threads, peaks)
            self.peaks[threads] = Peaks(
                peaks.threads,
                max(known.gmac_per_s, peaks.gmac_per_s),
                max(known.gb_per_s, peaks.gb_per_s),
            )


def title(run: Run) -> str:
    """As "kdmos_s, OpenVINO, int8"."""
    threads = f", {run.threads} thread{'s' * (run.threads > 1)}" if run.threads else ""
    return f"{run.model}, {provider_name(run)}, {run.precision}{threads}"


def provider_name(run: Run) -> str:
    """Provider without what all names have in common."""
    name = run.provider.removesuffix("ExecutionProvider")
    return name + (" (not the one asked for)" if run.fell_back else "")


def floors(run: Run, peaks: Mapping[int, Peaks]) -> dict[str, float]:
    """Floor in ms of the stages whose work is known, where the peaks are."""
    found = peaks.get(run.threads)
    if found is None:
        return {}
    return {stage: cost.floor_ms(found) for stage, cost in run.costs.items()}


def to_text(run: Run, peaks: Mapping[int, Peaks]) -> str:
    """One run for the terminal."""
    head = (
        f"{title(run)} ({run.runtime}): {run.scans} scans of {run.points} points, first label "
        f"after {run.first_label_s:.1f} s, peak memory {run.peak_memory_mb:.0f} MB"
    )
    lines = [head, f"{'stage [ms]':<12}{'p50':>9}{'p90':>9}{'p99':>9}{'floor':>9}{'share':>8}"]
    for stage, p, floor in stage_rows(run, peaks):
        text = f"{stage:<12}" + "".join(f"{p[k]:9.1f}" for k in PERCENTILES)
        if floor is not None:
            text += f"{floor:9.2f}{share(floor, p):>8}"
        lines.append(text)
    return "\n".join(lines)


def dds_to_text(row: Mapping[str, Any]) -> str:
    """One run over DDS for the terminal."""
    p, inside, counts = row["latency_ms"], row["stages_ms"]["total"]["p50"], row["counts"]
    pace = "" if row["rate_hz"] is None else f" at {row['rate_hz']:g} Hz"
    dropped = "".join(f", {n} {reason}" for reason, n in counts["dropped"].items())
    return (
        f"over DDS{pace}: {counts['sent']} clouds sent, {counts['received']} received, "
        f"{counts['labelled']} labelled{dropped}; p50 {p['p50']:.1f} p90 {p['p90']:.1f} p99 "
        f"{p['p99']:.1f} ms, {inside:.1f} of it in the node (p50); peak memory "
        f"{row['peak_memory_mb']:.0f} MB"
    )


def stage_rows(
    run: Run, peaks: Mapping[int, Peaks]
) -> list[tuple[str, dict[str, float], float | None]]:
    """Stage, percentiles and floor in ms; the last row is the total."""
    least = floors(run, peaks)
    rows: list[tuple[str, dict[str, float], float | None]] = [
        (stage, p, least.get(stage)) for stage, p in run.stages_ms.items()
    ]
    rows.append(("total", run.latency_ms, sum(least.values()) if least else None))
    return rows


def share(floor: float, p: Mapping[str, float]) -> str:
    """The floor's part of the median."""
    return f"{floor / p['p50']:.0%}" if p["p50"] > 0 else ""


def _run(values: Mapping[str, Any]) -> Run:
    known = {f.name for f in dataclasses.fields(Run)}
    run = Run(**{name: value for name, value in values.items() if name in known})
    run.costs = {stage: Cost(**cost) for stage, cost in values["costs"].items()}
    return run
