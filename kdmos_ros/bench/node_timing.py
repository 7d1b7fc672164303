"""Times the node as a process of its own: from publishing a cloud to having its labelled cloud."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdmos_ros.bench.stage_times import WARM_UP_S, Case, peak_memory_mb
from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.metrics import Latency, percentiles
from kdmos_ros.geometry.transforms import matrix_to_quaternion
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.open_bag import open_bag
from kdmos_ros.ros.client import Monitor, ros_node
from kdmos_ros.ros.latency_probe import LatencyProbe
from kdmos_ros.sessions.bag_feeder import BagFeeder
from kdmos_ros.sessions.node_process import NodeProcess
from kdmos_ros.sessions.playback import wait_until, wait_until_active

_CONNECT_S, _LAST_S = 30.0, 3.0


def measure(case: Case, rate_hz: float | None = None) -> dict[str, Any]:
    """Play a bag to the node and time its answers.

    The caller keeps other ROS 2 systems apart (`node_process.isolate`).

    Args:
        rate_hz: clouds a second, the bag again and again for as long as it is; None: once, at the
            pace of the recording.

    Returns:
        model, provider and precision in use; rate_hz; ready_s: from the start of the process to
        taking clouds; peak_memory_mb of that process; sent and labelled clouds after the warm-up;
        latency_ms: percentiles from before publishing a cloud to having it back; stages_ms: those
        inside the node, `total` from a cloud's arrival to the end of publishing; counts: see
        `counts`; seconds: from the first cloud to the last.

    Raises:
        KdmosError: the node does not start, ends, or labels nothing after the warm-up.
    """
    with fed_node(case, rate_hz) as fed:
        seconds = None if rate_hz is None else fed.feeder.recorded_s
        fed.feeder.play(fed.process.check, case.limit, seconds)
        fed.wait_for_the_last()
        figures = _figures(fed.feeder, fed.probe, dict(fed.monitor.values))
        times = fed.feeder.sent.values()
        return {
            **figures,
            "rate_hz": rate_hz,
            "ready_s": fed.ready_s,
            "peak_memory_mb": peak_memory_mb(fed.process.pid),
            "seconds": max(times) - min(times),
            "counts": fed.counts(),
        }


@dataclass
class FedNode:
    """A node that runs, what it is fed by, and who notes its answers."""

    process: NodeProcess
    monitor: Monitor
    feeder: BagFeeder
    probe: LatencyProbe
    ready_s: float

    def wait_for_the_last(self) -> None:
        """Wait until nothing comes any more and the node's counts are those of the end."""
        quiet_since, last = time.monotonic(), (-1, "")
        while time.monotonic() - quiet_since < _LAST_S:
            self.process.check()
            now = (len(self.probe.arrived), str(self.counts()))
            if now != last:
                quiet_since, last = time.monotonic(), now
            time.sleep(0.05)

    def counts(self) -> dict[str, Any]:
        """Clouds since the start: sent, received by the node, labelled, dropped by reason."""
        values = self.monitor.values
        dropped = {
            key.partition(".")[2]: int(value)
            for key, value in values.items()
            if key.startswith("dropped.")
        }
        return {
            "sent": len(self.feeder.sent),
            "received": self.monitor.count("received"),
            "labelled": self.monitor.count("labelled"),
            "dropped": dropped,
        }


@contextmanager
def fed_node(case: Case, rate_hz: float | None = None) -> Iterator[FedNode]:
    """Start the node and connect to it.

    Raises:
        KdmosError: it does not start or does not connect.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kdmos_bench_") as folder,
        open_bag(case.path, case.bag) as bag,
    ):
        process = _process(case, bag, Path(folder) / "node.log")
        started = time.monotonic()
        with process, ros_node("kdmos_bench") as node:
            monitor, probe = Monitor(node), LatencyProbe(node)
            wait_until_active(monitor, process)
            ready = time.monotonic() - started
            feeder = BagFeeder(node, bag, rate_hz)
            wait_until(
                lambda: feeder.heard() and node.count_publishers(probe.topic) > 0,
                process,
                _CONNECT_S,
                "the node does not listen to the topics that are played",
            )
            time.sleep(0.5)  # the node finds our subscription when we find its publisher
            yield FedNode(process, monitor, feeder, probe, ready)


def _process(case: Case, bag: BagReader, log: Path) -> NodeProcess:
    mount = bag.base_T_sensor
    numbers = [*mount[:3, 3], *matrix_to_quaternion(mount[:3, :3])]
    return NodeProcess(
        {"points": bag.cloud_topic, "odom": bag.odom_topic},
        {
            "model": str(case.model.resolve()),
            "provider": case.provider,
            "precision": case.precision,
            "num_threads": str(case.threads),
            "base_to_lidar": '"' + " ".join(f"{v:.9g}" for v in numbers) + '"',
            "diagnostics_period": "0.5",
        },
        log,
    )


def _figures(feeder: BagFeeder, probe: LatencyProbe, values: dict[str, str]) -> dict[str, Any]:
    warm = min(feeder.sent.values(), default=0.0) + WARM_UP_S
    sent = {stamp: at for stamp, at in feeder.sent.items() if at >= warm}
    latency = [
        (probe.arrived[stamp] - at) * 1e3 for stamp, at in sent.items() if stamp in probe.arrived
    ]
    stages = Latency()
    for came, stage, value in probe.stages:
        if came >= warm:
            stages.add({stage: value})
    total = stages.total()
    if not latency or total is None:
        raise KdmosError(f"the node labelled nothing after {WARM_UP_S:g} s of warm-up")
    return {
        "model": values["model"],
        "provider": values["provider"],
        "precision": values["precision"],
        "sent": len(sent),
        "labelled": len(latency),
        "latency_ms": percentiles(latency),
        "stages_ms": {**stages.stages(), "total": total},
    }
