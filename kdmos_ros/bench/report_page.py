"""The page of `kdmos bench --report`: words around the tables and plots of all figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kdmos_ros.bench import report_tables as tables
from kdmos_ros.bench.report import Results, title
from kdmos_ros.bench.stage_times import WARM_UP_S

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
        tables.machine(results),
        "\n## Targets\n",
        tables.target_table(results),
    ]
    if results.published is not None:
        parts.append(_PUBLISHED.format(text=results.published.to_text()))
    if results.runs:
        parts += [
            _MODELS,
            tables.summary_table(results.runs),
            *picture("stages"),
            _STAGES,
            *picture("floor"),
        ]
    for run in results.runs:
        parts += [f"\n### {title(run)}\n", tables.stage_table(run, results.peaks)]
    usual = [row for row in results.over_dds if row["rate_hz"] is None]
    overload = [row for row in results.over_dds if row["rate_hz"] is not None]
    if usual:
        parts += [_OVER_DDS, tables.dds_table(usual)]
    if overload:
        parts += [_OVERLOAD, tables.overload_table(overload)]
    if results.soaks:
        parts += [_MEMORY, tables.soak_table(results), *picture("soak")]
    if results.sweeps:
        parts.append(_GROWTH)
    for sweep in results.sweeps:
        parts += [tables.sweep_table(sweep.costs), f"{sweep.verdict()}\n", *picture(sweep.kind)]
    if results.scores:
        parts += [_ACCURACY, tables.accuracy_table(results.scores)]
    return "\n".join(parts)
