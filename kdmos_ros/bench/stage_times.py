"""Times every stage of the node's pipeline over a recorded drive, without ROS."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from kdmos_ros.bench.costs import Cost, stage_costs
from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.metrics import Latency
from kdmos_ros.io.open_bag import BagOptions
from kdmos_ros.pipeline.memory import keep_freed_memory
from kdmos_ros.pointcloud.codec import append_label

# The first scans fill caches and the history, whose look-ups cost more once it is full.
WARM_UP_S = 2.0


@dataclass(frozen=True)
class Case:
    """What to time."""

    path: Path
    bag: BagOptions
    model: Path
    provider: str
    precision: str
    threads: int
    limit: int | None = None


@dataclass
class Run:
    """One model on one provider.

    Attributes:
        runtime: name and version of the ONNX Runtime package.
        fell_back: the provider asked for is not the one in use.
        first_label_s: from the start of the process to the labels of the first scan.
        scans, points: what was timed, without the warm-up; points of one scan.
        stages_ms: percentiles by stage.
        latency_ms: percentiles from cloud message to labelled bytes.
        peak_memory_mb: of the process, bag reader and all.
        costs: work of the stages for one scan.
    """

    model: str
    provider: str
    precision: str
    fell_back: bool
    threads: int
    runtime: str = ""
    first_label_s: float = 0.0
    scans: int = 0
    points: int = 0
    stages_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    costs: dict[str, Cost] = field(default_factory=dict)


def run(case: Case) -> Run:
    """Time a case in a process of its own, so that no other one has warmed or filled anything.

    Raises:
        KdmosError: the model cannot be used, the bag is not longer than the warm-up, or the
            process ended.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(case, time.monotonic(), theirs))
    process.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        process.join()
        raise KdmosError(f"the timed process ended with status {process.exitcode}") from None
    finally:
        process.join()
    if isinstance(result, KdmosError):
        raise result
    assert isinstance(result, Run)
    return result


def _child(case: Case, started: float, answer: Connection) -> None:
    keep_freed_memory()  # as every command does
    try:
        answer.send(measure(case, started))
    except KdmosError as error:
        answer.send(KdmosError(str(error)))


def measure(case: Case, started: float) -> Run:
    """Time a case in this process.

    Args:
        started: when the process started, of time.monotonic().
    """
    from kdmos_ros.io.open_bag import open_bag
    from kdmos_ros.pipeline.first_start import warm_up
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
    from kdmos_ros.segmentation.segmenter import Segmenter

    segmenter = Segmenter(
        case.model, provider=case.provider, num_threads=case.threads, precision=case.precision
    )
    warm_up(segmenter)
    result = Run(
        segmenter.model_name,
        segmenter.provider,
        segmenter.precision,
        segmenter.fell_back,
        case.threads,
        runtime_package(),
    )
    latency, points = Latency(), []
    first: int | None = None
    with open_bag(case.path, case.bag) as bag:
        for scan in islice(replay(bag, OnlineSegmenter(segmenter)), case.limit):
            first = scan.stamp_ns if first is None else first
            if scan.labels is None or scan.moving_probability is None:
                continue
            start = time.perf_counter()
            append_label(scan.layout or scan.message, scan.labels, scan.moving_probability)
            encode = (time.perf_counter() - start) * 1e3
            result.first_label_s = result.first_label_s or time.monotonic() - started
            if scan.stamp_ns - first < WARM_UP_S * 1e9:
                continue
            total = scan.timings_ms["total"] + encode
            latency.add({**scan.timings_ms, "encode": encode, "total": total})
            points.append(scan.n_points)
            last = scan
    if not points:
        raise KdmosError(f"nothing to time: no scan was labelled after {WARM_UP_S:g} s of warm-up")
    result.scans, result.points = len(points), round(float(np.mean(points)))
    result.stages_ms, result.latency_ms = latency.stages(), latency.total() or {}
    result.peak_memory_mb = peak_memory_mb()
    result.costs = stage_costs(case.model, segmenter, last)
    return result


def peak_memory_mb(pid: int | str = "self") -> float:
    """Most memory that a process has had at once. (getrusage would include its parent's.)"""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return float("nan")


def runtime_package() -> str:
    """Name and version of the installed ONNX Runtime, as "onnxruntime-openvino 1.24.1"."""
    from importlib.metadata import packages_distributions, version

    names: Mapping[str, Any] = packages_distributions()
    found = sorted(set(names.get("onnxruntime", ["onnxruntime"])))
    return ", ".join(f"{name} {version(name)}" for name in found)
