"""Times every stage of the node's pipeline over a recorded drive, without ROS."""

from __future__ import annotations

import os
import platform
import resource
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from kdmos_ros.bag_evaluation import latency_table
from kdmos_ros.cloud import append_label
from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluate import Latency
from kdmos_ros.io.bags import BagReader
from kdmos_ros.replay import replay
from kdmos_ros.segmenter import Segmenter

# The first scans fill caches and the history, whose look-ups cost more once it is full.
WARM_UP_S = 2.0


@dataclass
class Run:
    """One model on one provider.

    Attributes:
        fell_back: the provider asked for is not the one in use.
        start_up_s: seconds to load and warm up the model.
        scans, points: what was timed, without the warm-up.
        latency: milliseconds by stage, `total` from cloud message to labelled bytes.
        peak_memory_mb: of the process so far.
    """

    model: str
    provider: str
    fell_back: bool
    threads: int
    start_up_s: float
    scans: int = 0
    points: int = 0
    latency: Latency = field(default_factory=Latency)
    peak_memory_mb: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Content of the JSON file."""
        return {
            "model": self.model,
            "provider": self.provider,
            "fell_back": self.fell_back,
            "threads": self.threads,
            "start_up_s": self.start_up_s,
            "scans": self.scans,
            "points_per_scan": self.points / max(1, self.scans),
            "latency_ms": self.latency.total(),
            "stages_ms": self.latency.stages(),
            "peak_memory_mb": self.peak_memory_mb,
        }

    def to_text(self) -> str:
        """The same for people."""
        fell_back = " (not the one asked for)" if self.fell_back else ""
        return (
            f"model {self.model}, {self.provider}{fell_back}, threads {self.threads or 'all'}: "
            f"{self.scans} scans of {self.points // max(1, self.scans)} points, start-up "
            f"{self.start_up_s:.1f} s, peak memory {self.peak_memory_mb:.0f} MB\n"
            + latency_table(self.latency)
        )


def run(
    bag: BagReader, model: Path, provider: str = "auto", threads: int = 0, limit: int | None = None
) -> Run:
    """Time a model over the scans of a bag that come after the warm-up.

    Raises:
        KdmosError: the model cannot be used, or the bag is not longer than the warm-up.
    """
    start = time.perf_counter()
    segmenter = Segmenter(model, provider=provider, num_threads=threads)
    segmenter.warm_up()
    result = Run(
        segmenter.model_name,
        segmenter.provider,
        segmenter.fell_back,
        threads,
        time.perf_counter() - start,
    )
    first: int | None = None
    for scan in islice(replay(bag, segmenter), limit):
        first = scan.stamp_ns if first is None else first
        if scan.labels is None or scan.moving_probability is None:
            continue
        start = time.perf_counter()
        append_label(scan.message, scan.labels, scan.moving_probability)
        encode = (time.perf_counter() - start) * 1e3
        if scan.stamp_ns - first < WARM_UP_S * 1e9:
            continue
        timings = {**scan.timings_ms, "encode": encode}
        timings["total"] = scan.timings_ms["total"] + encode
        result.latency.add(timings)
        result.scans += 1
        result.points += scan.n_points
    if not result.scans:
        raise KdmosError(f"nothing to time: no scan was labelled after {WARM_UP_S:g} s of warm-up")
    result.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, system."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass  # no /proc: the architecture has to do
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
