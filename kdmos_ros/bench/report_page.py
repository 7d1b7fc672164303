"""The page of `kdmos bench --report`: tables and plots of all figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdmos_ros.bench.machine import Peaks
from kdmos_ros.bench.report import (
    PERCENTILES,
    Results,
    provider_name,
    share,
    stage_rows,
    title,
)
from kdmos_ros.bench.stage_times import WARM_UP_S, Run
from kdmos_ros.bench.targets import is_reference, loss_of, own_ms, targets

_INTRODUCTION = """\
# Benchmark

From the cloud message to the labelled bytes, stage by stage, inside one process and without DDS;
medians and percentiles in milliseconds over the scans after a warm-up of {warm_up:g} s. Written by

```bash
{commands}
```

`drive` is what `kdmos bench` simulates where no bag is named,
{drive}
Each provider's lines were run where that build of ONNX Runtime is installed ([how](providers.md)),
and `kdmos eval` with `--json FILE`, which the last line collects.
On a machine that others use, too, repeats differ: compare medians, and distrust a p99.
"""
_DRIVE = "`kdmos simulate drive --seed 7 --duration 12 --scene street --ego driving`."
_PUBLISHED = """
To compare with: {text}. That is this package's own re-implementation of the network (of KDMOS,
arXiv 2506.14130), with random weights, run as the published code does: cells found by sorting,
every voxel scored, eager. Run in a leaner way, channels last and occupied cells only, the same
network takes less than half. The published code itself, with residuals and features, took 2,000 to
2,500 ms on another two-core AVX-512 machine.
"""
_MODELS = """
## Models and providers

Each row is a process of its own. *all but networks* is the sum of the other stages' medians; *first
label* counts from the start of the process, with warm caches of compiled code; *peak* is that of
the measuring process, which reads the bag, too (the node's own: see below).
"""
_STAGES = """
## Stages

*floor* is the least time in which this machine can do what the stage must: multiply-accumulates of
the networks at the rate of large matrix products (INT8 counted at four times that), or inputs,
results and weights once through memory, whichever takes longer. *share* is the floor's part of the
median.
"""
_OVER_DDS = """
## Over DDS

The node as a process of its own, fed by another one at the pace of the recording. *latency* is
from before publishing a cloud to having its labelled cloud; *in process* what the node counts from
the cloud's arrival to the end of publishing; *on top* is the difference of the medians. The client
that plays and listens runs on the same cores.
"""
_OVERLOAD = """
## Overload

The same, fed faster than it can label. What a newer cloud replaces is dropped and counted;
*not received* was lost on its way to the node (best effort).
"""
_MEMORY = """
## Memory over time

Resident memory of the node while a bag is played to it again and again over DDS. *settled* and
*end* are medians of the first and the last tenth of what follows the first minute. A burst of 20 s
at 50 Hz comes before, so that the middleware's buffers are as large as an overload makes them.
"""
_GROWTH = """
## More points, more past scans

Medians over synthetic scans. A past scan's range image is made once and kept; each of the model's
time lags reads one of them, however many are kept.
"""
_ACCURACY = """
## What it costs in accuracy

*change* is against fp32 on ONNX Runtime's own kernels.
"""


def to_markdown(results: Results, pictures: Mapping[str, Path]) -> str:
    """The page.

    Args:
        pictures: files beside the page, by kind: stages, floor, points, history, soak.
    """

    def picture(kind: str) -> list[str]:
        path = pictures.get(kind)
        return [f"![{path.stem}]({path.name})\n"] if path else []

    parts = [
        _INTRODUCTION.format(warm_up=WARM_UP_S, commands=results.commands, drive=_DRIVE),
        _machine(results),
        "\n## Targets\n",
        _targets(results),
    ]
    if results.published is not None:
        parts.append(_PUBLISHED.format(text=results.published.to_text()))
    if results.runs:
        parts += [_MODELS, _summary(results.runs), *picture("stages"), _STAGES, *picture("floor")]
    for run in results.runs:
        parts += [f"\n### {title(run)}\n", _stage_table(run, results.peaks)]
    usual = [row for row in results.over_dds if row["rate_hz"] is None]
    overload = [row for row in results.over_dds if row["rate_hz"] is not None]
    if usual:
        parts += [_OVER_DDS, _dds_table(usual)]
    if overload:
        parts += [_OVERLOAD, _overload_table(overload)]
    if results.soaks:
        parts += [_MEMORY, _soak_table(results), *picture("soak")]
    if results.sweeps:
        parts.append(_GROWTH)
    for sweep in results.sweeps:
        parts += [_sweep_table(sweep.costs), f"{sweep.verdict()}\n", *picture(sweep.kind)]
    if results.scores:
        parts += [_ACCURACY, _accuracy_table(results.scores)]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _machine(results: Results) -> str:
    machine = results.machine
    extras = ", ".join(machine["vector_instructions"]) or "none of those looked for"
    lines = [
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; vector instructions: {extras}."
    ]
    lines += [
        f"Peaks with {p.threads} thread{'s' * (p.threads > 1)}: {p.gmac_per_s:g} GMAC/s in"
        f" float32, {p.gb_per_s:g} GB/s copying."
        for p in results.peaks.values()
    ]
    return "\n".join(lines) + "\n"


def _targets(results: Results) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = [
        [t.what, t.asked, t.found, f"{words[t.met]}{': ' if t.by else ''}{t.by}", f"`{t.how}`"]
        for t in targets(results)
    ]
    return _table(("target", "asked for", "measured", "met", "by"), rows)


def _summary(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        gmac = sum(c.macs + c.int8_macs for c in run.costs.values()) / 1e9
        rows.append(
            [run.model, provider_name(run), run.precision, str(run.threads or "all")]
            + [f"{run.scans} x {run.points:,}"]
            + [f"{run.latency_ms[p]:.1f}" for p in PERCENTILES]
            + [f"{own_ms(run):.1f}", f"{run.first_label_s:.1f}", f"{run.peak_memory_mb:.0f}"]
            + [f"{gmac:.2f}", run.runtime]
        )
    head = "model,provider,precision,threads,scans,p50,p90,p99,all but networks,first label s"
    return _table([*head.split(","), "peak MB", "GMAC", "runtime"], rows)


def _stage_table(run: Run, peaks: Mapping[int, Peaks]) -> str:
    rows = []
    for stage, p, floor in stage_rows(run, peaks):
        cost = run.costs.get(stage)
        work = ["", ""]
        if cost:
            work = [f"{(cost.macs + cost.int8_macs) / 1e9:.2f}", f"{cost.moved / 1e6:.1f}"]
        elif stage == "total":
            macs = sum(c.macs + c.int8_macs for c in run.costs.values())
            moved = sum(c.moved for c in run.costs.values())
            work = [f"{macs / 1e9:.2f}", f"{moved / 1e6:.1f}"]
        least = ["", ""] if floor is None else [f"{floor:.2f}", share(floor, p)]
        rows.append([stage, *(f"{p[k]:.2f}" for k in PERCENTILES), *work, *least])
    return _table(("stage", *PERCENTILES, "GMAC", "MB", "floor", "share"), rows)


def _dds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "model,provider,precision,sent,labelled,latency p50,p90,p99,in process p50,on top"
    lines = []
    for row in rows:
        latency, inside = row["latency_ms"], row["stages_ms"]["total"]["p50"]
        lines.append(
            [*_identity(row), str(row["sent"]), str(row["labelled"])]
            + [f"{latency[p]:.1f}" for p in PERCENTILES]
            + [f"{inside:.1f}", f"{latency['p50'] - inside:.1f}"]
            + [f"{row['ready_s']:.1f}", f"{row['peak_memory_mb']:.0f}"]
        )
    return _table([*head.split(","), "ready after s", "peak MB"], lines)


def _overload_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "model,provider,precision,fed Hz,labelled Hz,sent,not received,dropped,labelled"
    lines = []
    for row in rows:
        c, latency = row["counts"], row["latency_ms"]
        dropped = ", ".join(f"{n} {reason}" for reason, n in c["dropped"].items()) or "0"
        lines.append(
            [*_identity(row), f"{_per_s(row, 'sent'):.1f}", f"{_per_s(row, 'labelled'):.1f}"]
            + [str(c["sent"]), str(c["sent"] - c["received"]), dropped, str(c["labelled"])]
            + [f"{latency[p]:.1f}" for p in PERCENTILES]
        )
    return _table([*head.split(","), "latency p50", "p90", "p99"], lines)


def _per_s(row: Mapping[str, Any], what: str) -> float:
    """Clouds a second, of those that were sent, received or labelled."""
    return float(row["counts"][what] / row["seconds"])


def _soak_table(results: Results) -> str:
    rows = []
    for soak in results.soaks:
        s = soak.summary()
        rate = soak.run["rate_hz"]
        rows.append(
            [*_identity(soak.run), "recorded" if rate is None else f"{rate:g} Hz"]
            + [f"{s['minutes']:.0f}", f"{soak.counts['labelled']:,}"]
            + [f"{s[k]:.0f}" for k in ("first_mb", "last_mb", "most_mb", "peak_mb")]
            + [f"{s['slope_mb_per_h']:+.1f}"]
        )
    head = "model,provider,precision,pace,minutes,scans,settled MB,end MB,most MB,with start MB"
    return _table([*head.split(","), "MB an hour"], rows)


def _sweep_table(costs: Sequence[Any]) -> str:
    rows = []
    for c in costs:
        total = "" if c.total_ms is None else f"{c.total_ms:.1f}"
        rows.append([f"{c.points:,}", str(c.past_scans), f"{c.own_ms:.1f}", total])
    return _table(("points", "past scans", "all but networks, ms", "with networks, ms"), rows)


def _accuracy_table(scores: Sequence[dict[str, Any]]) -> str:
    rows = []
    for score in scores:
        loss = loss_of(score, scores)
        change = "" if loss is None or is_reference(score) else f"{-100 * loss:+.2f} points"
        iou = "" if score["iou_moving"] is None else f"{score['iou_moving']:.4f}"
        provider = score["provider"].removesuffix("ExecutionProvider")
        rows.append([f"`{score['command']}`", provider, iou, change])
    return _table(("command", "provider", "moving IoU", "change"), rows)


def _identity(row: Mapping[str, Any]) -> list[str]:
    return [row["model"], row["provider"].removesuffix("ExecutionProvider"), row["precision"]]
