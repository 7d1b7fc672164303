"""Performance targets and what was measured for each."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdmos_ros.bench.report import Results
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.bench.sweep import slope

_INT8, _PLAIN = ("OpenVINO", "int8"), ("CPU", "fp32")
_TIMES_AS_FAST = 40
_NETWORKS = ("encoder", "bev")
# Latency that is bounded, in turns of the node: a cloud waits for the one before it, then has its
# own, and the way there and back.
_WAITING = 3
_FLAT = 0.02  # of the memory at first: what it may rise by
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    """One line: what is asked for, what was found, and whether that will do.

    Attributes:
        met: None if it was not measured.
        by: by how much the target was missed, or another remark.
        how: the command that measures it.
    """

    what: str
    asked: str
    found: str
    met: bool | None
    by: str = ""
    how: str = ""


def targets(results: Results) -> list[Target]:
    """All targets, in the order in which they were set."""
    found = [
        *_by("kdmos bench", _inside(results)),
        *_by("kdmos bench --published", [_times_as_fast(results, _run(results, *_INT8))]),
        *_by("kdmos bench --ros", _over_dds(results)),
        *_by("kdmos bench --ros --rate 50", _overload(results)),
        *_by("kdmos bench --soak 3600", _memory(results)),
        *_by("kdmos bench --sweep", _growth(results)),
        *_by("kdmos eval --precision", _accuracy(results.scores)),
    ]
    run = _run(results, "Tensorrt", "fp16", "kdmos_s")
    line = _at_most("S, TensorRT, fp16: median", 3, run, _median, "ms")
    return [*found, *_by("kdmos bench --provider tensorrt", [line])]


def _by(how: str, lines: Iterable[Target]) -> list[Target]:
    return [dataclasses.replace(line, how=how) for line in lines]


def _inside(results: Results) -> Iterator[Target]:
    int8, plain = _run(results, *_INT8), _run(results, *_PLAIN)
    yield _at_most("S, OpenVINO, INT8: median", 50, int8, _median, "ms")
    yield _at_most("S, OpenVINO, INT8: p99", 75, int8, lambda r: r.latency_ms["p99"], "ms")
    yield _at_most("S, plain ONNX Runtime: median", 80, plain, _median, "ms")
    for run, where in ((plain, "plain ONNX Runtime"), (int8, "OpenVINO, INT8")):
        yield _at_most(f"S, {where}: all but the networks", 20, run, own_ms, "ms")
    for run, where in ((plain, "plain ONNX Runtime"), (int8, "OpenVINO, INT8")):
        what = f"S, {where}: start to first label, warm caches"
        yield _at_most(what, 5, run, lambda r: r.first_label_s, "s")


def _median(run: Run) -> float:
    return run.latency_ms["p50"]


def own_ms(run: Run) -> float:
    """Everything but the networks: medians of the stages."""
    return sum(p["p50"] for stage, p in run.stages_ms.items() if stage not in _NETWORKS)


def data_of(score: dict[str, Any]) -> str:
    """What a model was scored on, as typed: kdmos eval DATA; its name if options come first."""
    word = shlex.split(score["command"])[2]
    return str(score["data"]) if word.startswith("-") else word


def loss_of(score: dict[str, Any], scores: Sequence[dict[str, Any]]) -> float | None:
    """IoU that a precision or provider costs, against fp32 on ONNX Runtime.

    Of the same model, on the same data and as late; None if that was not scored.
    """
    for other in scores:
        if _subject(other) == _subject(score) and is_reference(other):
            if other["iou_moving"] is None or score["iou_moving"] is None:
                return None
            return float(other["iou_moving"] - score["iou_moving"])
    return None


def is_reference(score: dict[str, Any]) -> bool:
    """Whether it is fp32 on ONNX Runtime's own kernels."""
    return score["provider"] == "CPUExecutionProvider" and not _values(score) & {"int8", "fp16"}


def _subject(score: dict[str, Any]) -> tuple[object, ...]:
    return data_of(score), score.get("model"), score.get("lookahead", 0)


def _values(score: dict[str, Any]) -> set[str]:
    """The words of the command, and what stands behind "="."""
    return {word.rpartition("=")[2] for word in shlex.split(score["command"])}


def _run(results: Results, provider: str, precision: str, model: str = "kdmos_s") -> Run | None:
    for run in results.runs:
        known = (run.model, run.provider, run.precision, run.threads)
        if known == (model, f"{provider}ExecutionProvider", precision, 0):
            return run
    return None


def _over_dds(results: Results) -> Iterator[Target]:
    usual = [row for row in results.over_dds if row["rate_hz"] is None]
    for row in usual:
        top = row["latency_ms"]["p50"] - row["stages_ms"]["total"]["p50"]
        yield _limit(f"{_of(row)}: DDS on top, median", 25, top, "ms")
    for row in usual:
        yield _limit(f"{_of(row)}: peak memory of the node", 400, row["peak_memory_mb"], "MB")


def _overload(results: Results) -> Iterator[Target]:
    for row in results.over_dds:
        if row["rate_hz"] is None:
            continue
        counts = row["counts"]
        pace_s = row["seconds"] / max(counts["labelled"], 1)
        lost = counts["received"] - counts["labelled"] - sum(counts["dropped"].values())
        yield Target(
            f"{_of(row)}: fed at {row['rate_hz']:g} Hz",
            "newest scan labelled at the node's own pace, bounded latency, drops counted",
            f"{1 / pace_s:.1f} Hz labelled, latency p99"
            f" {row['latency_ms']['p99']:.0f} ms, {lost} of {counts['received']}"
            " received clouds unaccounted for",
            lost == 0 and row["latency_ms"]["p99"] <= _WAITING * 1e3 * pace_s,
        )


def _memory(results: Results) -> Iterator[Target]:
    if not results.soaks:
        yield Target("memory over an hour", "flat", NOT_MEASURED, None)
    for soak in results.soaks:
        s = soak.summary()
        flat = s["last_mb"] - s["first_mb"] <= _FLAT * s["first_mb"]
        long = s["minutes"] > 59
        yield Target(
            f"{_of(soak.run)}: memory over an hour",
            "flat",
            f"{s['first_mb']:.0f} MB once settled, {s['last_mb']:.0f} MB at the end,"
            f" {s['slope_mb_per_h']:+.0f} MB an hour",
            flat if long or not flat else None,  # less than an hour can refute it only
            "" if long else f"over {s['minutes']:.0f} minutes only",
        )


def _of(row: dict[str, Any]) -> str:
    return f"{row['model']}, {row['provider'].removesuffix('ExecutionProvider')}"


def _growth(results: Results) -> Iterator[Target]:
    for sweep in results.sweeps:
        if sweep.kind == "history":
            scans = ", ".join(str(c.past_scans) for c in sweep.costs)
            yield _limit(f"cost with {scans} past scans differs by", 20, 100 * sweep.spread, "%")
        else:
            _, fit = slope(sweep.costs)
            ends = f"{sweep.costs[0].points:,} to {sweep.costs[-1].points:,}"
            yield Target(
                f"cost by points, {ends}",
                "linear",
                sweep.verdict(),
                fit > 0.98,
            )


def _accuracy(scores: Sequence[dict[str, Any]]) -> Iterator[Target]:
    for score in scores:
        loss = loss_of(score, scores)
        if "int8" in _values(score) and loss is not None:
            where = score["provider"].removesuffix("ExecutionProvider")
            what = f"INT8 ({where}) costs, moving IoU on {data_of(score)}"
            yield _limit(what, 1, 100 * loss, "points", digits=2)


def _at_most(
    what: str, most: float, run: Run | None, value: Callable[[Run], float], unit: str
) -> Target:
    if run is None:
        return Target(what, f"at most {most:g} {unit}", NOT_MEASURED, None)
    return _limit(what, most, value(run), unit)


def _times_as_fast(results: Results, run: Run | None) -> Target:
    what, asked = "S, OpenVINO, INT8: times as fast as the published code", "at least 40"
    if run is None or results.published is None:
        return Target(what, asked, NOT_MEASURED, None)
    theirs, ours = results.published.network_ms, run.latency_ms["p50"]
    times = theirs / ours
    found = f"{times:.0f} (published: {theirs:,.0f} ms, without residuals and features)"
    by = "" if times >= _TIMES_AS_FAST else f"{_TIMES_AS_FAST - times:.0f} short"
    return Target(what, asked, found, times >= _TIMES_AS_FAST, by)


def _limit(what: str, most: float, found: float, unit: str, digits: int = 1) -> Target:
    met = found <= most
    by = "" if met else f"{found - most:.{digits}f} {unit} over"
    return Target(what, f"at most {most:g} {unit}", f"{found:.{digits}f} {unit}", met, by)
