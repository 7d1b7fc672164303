"""Plots of `kdmos bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure

from kdmos_ros.bench.machine import Peaks
from kdmos_ros.bench.picture_files import save
from kdmos_ros.bench.report import PERCENTILES, Results, floors, title
from kdmos_ros.bench.soak import plot as plot_soaks
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.bench.sweep import plot as plot_sweep

_TARGET_MS = (50.0, 100.0)  # 20 Hz and 10 Hz


def draw(results: Results, folder: Path, name: str) -> dict[str, Path]:
    """Write pictures beside the page; returns those that there is something for, by kind.

    stages: medians, stacked; floor: against the floor; points, history: the sweeps; soak: memory.
    """
    paths: dict[str, Path] = {}

    def path(kind: str) -> Path:
        return paths.setdefault(kind, folder / f"{name}_{kind}.png")

    if results.runs:
        save(_stacked(results.runs), path("stages"))
        save(_against_floor(results.runs, results.peaks), path("floor"))
    for sweep in results.sweeps:
        plot_sweep(sweep, path(sweep.kind))
    if results.soaks:
        plot_soaks(results.soaks, path("soak"))
    return paths


def _stacked(runs: Sequence[Run]) -> Figure:
    figure = Figure(figsize=(9, 1.2 + 0.55 * len(runs)))
    axes = figure.subplots()
    stages = list(dict.fromkeys(stage for run in runs for stage in run.stages_ms))
    colours = colormaps["tab20"].colors  # type: ignore[attr-defined]
    places = range(len(runs))
    left = [0.0] * len(runs)
    for stage, colour in zip(stages, colours, strict=False):
        widths = [run.stages_ms.get(stage, {"p50": 0.0})["p50"] for run in runs]
        axes.barh(places, widths, left=left, color=colour, label=stage)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for percentile, marker in zip(PERCENTILES[1:], ("|", "x"), strict=True):
        values = [run.latency_ms[percentile] for run in runs]
        axes.plot(values, places, marker, color="black", label=f"total {percentile}")
    right = max(run.latency_ms["p99"] for run in runs) * 1.05
    for target in _TARGET_MS:
        if target < right:
            axes.axvline(target, color="grey", linestyle=":", linewidth=1)
    axes.set_xlim(0, right)
    axes.set_yticks(places, [title(run) for run in runs])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a scan: medians by stage; dotted: 20 and 10 Hz")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _against_floor(runs: Sequence[Run], peaks: Mapping[int, Peaks]) -> Figure:
    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots()
    stages = list(dict.fromkeys(stage for run in runs for stage in floors(run, peaks)))
    width = 0.8 / max(1, len(runs))
    for i, run in enumerate(runs):
        least = floors(run, peaks)
        known = [s for s in stages if s in least and s in run.stages_ms]
        places = [stages.index(s) + (i - (len(runs) - 1) / 2) * width for s in known]
        axes.bar(places, [run.stages_ms[s]["p50"] for s in known], width, label=title(run))
        lowest = [least[s] for s in known]
        axes.hlines(
            lowest,
            [p - width / 2 for p in places],
            [p + width / 2 for p in places],
            color="black",
            label="floor" if i == 0 else "",
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(stages)), stages)
    axes.set_ylabel("milliseconds (median)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
