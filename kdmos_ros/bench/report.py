"""Figures of `kdmos bench` as text, JSON and a page with tables and plots."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdmos_ros.bench.costs import Cost
from kdmos_ros.bench.machine import Peaks
from kdmos_ros.bench.run import WARM_UP_S, Run
from kdmos_ros.errors import KdmosError

PERCENTILES = ("p50", "p90", "p99")
_INTRODUCTION = """\
# Benchmark

From the cloud message to the labelled bytes, stage by stage, inside one process and without DDS;
medians and percentiles in milliseconds over the scans after a warm-up of {warm_up:g} s. Each row of
the first table is a process of its own. Written by

```bash
{command}
```

*floor* is the least time in which this machine can do what the stage must: multiply-accumulates of
the networks at the rate of large matrix products (INT8 counted at four times that), or inputs,
results and weights once through memory, whichever takes longer. *share* is the floor's part of the
median. *first label* counts from the start of the process, with warm caches of compiled code.

"""


@dataclasses.dataclass
class Results:
    """All figures of one machine.

    Attributes:
        command: how they were made.
        machine: of `machine.describe`.
        peaks: by number of threads.
        over_dds: of `ros.bench_session.measure`, one a model, provider and precision.
    """

    command: str
    machine: dict[str, Any]
    peaks: dict[int, Peaks] = dataclasses.field(default_factory=dict)
    runs: list[Run] = dataclasses.field(default_factory=list)
    over_dds: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        """Content of the JSON file; each run's stages have floor_ms and share, too."""
        content = dataclasses.asdict(self)
        for run, made in zip(self.runs, content["runs"], strict=True):
            made["floors_ms"] = floors(run, self.peaks)
        return json.dumps(content, indent=2) + "\n"

    def add_file(self, path: Path) -> None:
        """Take the runs of an earlier JSON file over, before one's own.

        Raises:
            KdmosError: it is no such file, or of another machine.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            runs = [_run(values) for values in content["runs"]]
            peaks = {int(n): Peaks(**values) for n, values in content["peaks"].items()}
            machine, over_dds = content["machine"], content["over_dds"]
            same = all(machine[k] == self.machine[k] for k in ("processor", "cores"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KdmosError(f"{path}: no figures of kdmos bench: {error}") from error
        if not same:
            raise KdmosError(f"{path}: figures of another machine ({machine['processor']})")
        self.command = f"{content['command']}\n{self.command}"
        self.add_peaks(peaks)
        self.runs, self.over_dds = runs + self.runs, over_dds + self.over_dds

    def add_peaks(self, more: Mapping[int, Peaks]) -> None:
        """The best seen counts."""
        for threads, peaks in more.items():
            known = self.peaks.get(threads, peaks)
            self.peaks[threads] = Peaks(
                peaks.threads,
                max(known.gmac_per_s, peaks.gmac_per_s),
                max(known.gb_per_s, peaks.gb_per_s),
            )

    def to_markdown(self, pictures: Sequence[Path]) -> str:
        """The page. Pictures are beside it."""
        parts = [_INTRODUCTION.format(warm_up=WARM_UP_S, command=self.command), self._machine()]
        parts += [f"![{picture.stem}]({picture.name})\n" for picture in pictures]
        if self.runs:
            parts += ["\n## Models and providers\n", self._summary()]
        for run in self.runs:
            parts += [f"\n## {title(run)}\n", _stage_table(run, self.peaks)]
        if self.over_dds:
            parts += [_OVER_DDS, _dds_table(self.over_dds)]
        return "\n".join(parts)

    def _machine(self) -> str:
        machine = self.machine
        extras = ", ".join(machine["vector_instructions"]) or "none of those looked for"
        lines = [
            f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
            f"Python {machine['python']}; vector instructions: {extras}."
        ]
        lines += [
            f"Peaks with {p.threads} thread{'s' * (p.threads > 1)}: {p.gmac_per_s:g} GMAC/s in"
            f" float32, {p.gb_per_s:g} GB/s copying."
            for p in self.peaks.values()
        ]
        return "\n".join(lines) + "\n"

    def _summary(self) -> str:
        head = (
            "| model | provider | precision | threads | points | p50 | p90 | p99 | first label s"
            " | peak MB | GMAC | runtime |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
        )
        rows = [head]
        for run in self.runs:
            total = " | ".join(f"{run.latency_ms[p]:.1f}" for p in PERCENTILES)
            gmac = sum(c.macs + c.int8_macs for c in run.costs.values()) / 1e9
            rows.append(
                f"| {run.model} | {provider_name(run)} | {run.precision} | {run.threads or 'all'} |"
                f" {run.points} | {total} | {run.first_label_s:.1f} | {run.peak_memory_mb:.0f} |"
                f" {gmac:.2f} | {run.runtime} |"
            )
        return "\n".join(rows) + "\n"


_OVER_DDS = """
## Over DDS

The node as a process of its own, fed by another one at the pace of the recording. *latency* is
from before publishing a cloud to having its labelled cloud; *in process* what the node counts from
the cloud's arrival to the end of publishing; *on top* is the difference of the medians.
"""


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
    for stage, p, floor in _rows(run, peaks):
        text = f"{stage:<12}" + "".join(f"{p[k]:9.1f}" for k in PERCENTILES)
        if floor is not None:
            text += f"{floor:9.2f}{_share(floor, p):>8}"
        lines.append(text)
    return "\n".join(lines)


def _stage_table(run: Run, peaks: Mapping[int, Peaks]) -> str:
    lines = ["| stage | p50 | p90 | p99 | GMAC | MB | floor | share |", "|---|" + "---|" * 7]
    for stage, p, floor in _rows(run, peaks):
        times = " | ".join(f"{p[k]:.2f}" for k in PERCENTILES)
        cost = run.costs.get(stage)
        work = f"{(cost.macs + cost.int8_macs) / 1e9:.2f} | {cost.moved / 1e6:.1f}" if cost else "|"
        least = f"{floor:.2f} | {_share(floor, p)}" if floor is not None else "|"
        lines.append(f"| {stage} | {times} | {work} | {least} |")
    return "\n".join(lines) + "\n"


def _rows(run: Run, peaks: Mapping[int, Peaks]) -> list[tuple[str, dict[str, float], float | None]]:
    least = floors(run, peaks)
    rows: list[tuple[str, dict[str, float], float | None]] = [
        (stage, p, least.get(stage)) for stage, p in run.stages_ms.items()
    ]
    rows.append(("total", run.latency_ms, sum(least.values()) if least else None))
    return rows


def _share(floor: float, p: Mapping[str, float]) -> str:
    return f"{floor / p['p50']:.0%}" if p["p50"] > 0 else ""


def _dds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "| model | provider | precision | sent | labelled | latency p50 | p90 | p99 | in process"
        " p50 | on top | ready after s | peak MB |\n|---|" + "---|" * 11
    )
    lines = [head]
    for row in rows:
        latency, inside = row["latency_ms"], row["stages_ms"]["total"]["p50"]
        lines.append(
            f"| {row['model']} | {row['provider'].removesuffix('ExecutionProvider')} |"
            f" {row['precision']} | {row['sent']} | {row['labelled']} |"
            f" {' | '.join(f'{latency[p]:.1f}' for p in PERCENTILES)} | {inside:.1f} |"
            f" {latency['p50'] - inside:.1f} | {row['ready_s']:.1f} |"
            f" {row['peak_memory_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _run(values: Mapping[str, Any]) -> Run:
    known = {f.name for f in dataclasses.fields(Run)}
    run = Run(**{name: value for name, value in values.items() if name in known})
    run.costs = {stage: Cost(**cost) for stage, cost in values["costs"].items()}
    return run
