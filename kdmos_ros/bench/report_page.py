"""The page of `kdmos bench --report`: words around the tables and plots of all figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kdmos_ros.bench import report_tables as tables
from kdmos_ros.bench.report import Results, title
from kdmos_ros.bench.stage_times import WARM_UP_S

_INTRODUCTION = """\
# Benchmark

How long each stage takes from cloud message to labelled bytes, inside one process and without DDS.
Figures are medians and percentiles in milliseconds, over all scans after a warm-up of
{warm_up:g} s. This page comes from

```bash
{commands}
```

`drive` is what `kdmos bench` simulates if no bag is given:
{drive}
Each provider's commands ran with its own build of ONNX Runtime ([how](providers.md)). `kdmos eval`
ran with `--json FILE`, and the last command collects these files.
Repeated runs differ on a shared machine: compare medians, and do not trust a single p99.
"""
_DRIVE = "`kdmos simulate drive --seed 7 --duration 12 --scene street --ego driving`."
_PUBLISHED = """
For comparison: {text}. This package re-implements the network (KDMOS, arXiv
2506.14130) and runs it with random weights in the same way as the published code: eager mode, cells
found by sorting, every voxel scored. With channels last and occupied cells only, the same network
takes less than half that time. The published code itself, with residuals and features, took 2,000
to 2,500 ms on another two-core AVX-512 machine.
"""
_MODELS = """
## Models and providers

Each row ran in a separate process. *all but networks* is the sum of the other stages' medians.
*first label* is the time from process start, with warm caches of compiled code. *peak* is the peak
memory of the measuring process, which also reads the bag; the node's own peak is given below.
"""
_STAGES = """
## Stages

*floor* is the shortest time in which this machine could do the stage's work. It is the larger of
two times: the networks' multiply-accumulates at the rate of large matrix products (four times that
rate for INT8), and moving inputs, results and weights through memory once. *share* is the floor
divided by the median.
"""
_OVER_DDS = """
## Over DDS

The node runs in its own process, and a client plays the bag to it at the recorded pace. *latency*
runs from just before a cloud is published until its labelled cloud is received. *in process* is
what the node measures from the cloud's arrival to the end of publishing. *on top* is the difference
between the two medians. The client runs on the same cores.
"""
_OVERLOAD = """
## Overload

The same set-up, but clouds come faster than the node can label them. A cloud that is replaced by a
newer one is dropped and counted; *not received* clouds were lost on the way (best effort).
"""
_MEMORY = """
## Memory over time

Resident memory of the node while a bag is played to it in a loop over DDS. The first minute is left
out; *settled* and *end* are the medians of the first and last tenth of the rest. A 20 s burst at
50 Hz comes first, so that the middleware's buffers have already grown to their overload size.
"""
_GROWTH = """
## More points, more past scans

Medians over synthetic scans. The range image of a past scan is made once and kept. Each of the
model's time lags reads one of these images, no matter how many are kept.
"""
_ACCURACY = """
## Effect on accuracy

*change* is relative to fp32 on ONNX Runtime's own kernels.
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
