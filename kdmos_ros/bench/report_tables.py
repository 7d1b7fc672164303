"""The tables of the page of `kdmos bench --report`, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdmos_ros.bench.machine import Peaks
from kdmos_ros.bench.report import PERCENTILES, Results, provider_name, share, stage_rows
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.bench.targets import is_reference, loss_of, own_ms, targets


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine(results: Results) -> str:
    """The machine and its peaks, in words."""
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


def target_table(results: Results) -> str:
    """What was asked for, what was found."""
    words = {True: "yes", False: "**no**", None: ""}
    rows = [
        [t.what, t.asked, t.found, f"{words[t.met]}{': ' if t.by else ''}{t.by}", f"`{t.how}`"]
        for t in targets(results)
    ]
    return _table(("target", "asked for", "measured", "met", "by"), rows)


def summary_table(runs: Sequence[Run]) -> str:
    """A row for each run."""
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


def stage_table(run: Run, peaks: Mapping[int, Peaks]) -> str:
    """A row for each stage of a run, and their total."""
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


def dds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each run over DDS at the pace of the recording."""
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


def overload_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each run over DDS that was fed faster."""
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


def soak_table(results: Results) -> str:
    """A row for each long run."""
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


def sweep_table(costs: Sequence[Any]) -> str:
    """A row for each size of a sweep."""
    rows = []
    for c in costs:
        total = "" if c.total_ms is None else f"{c.total_ms:.1f}"
        rows.append([f"{c.points:,}", str(c.past_scans), f"{c.own_ms:.1f}", total])
    return _table(("points", "past scans", "all but networks, ms", "with networks, ms"), rows)


def accuracy_table(scores: Sequence[dict[str, Any]]) -> str:
    """A row for each score."""
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
