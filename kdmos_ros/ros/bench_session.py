"""Times the node as a process of its own: from publishing a cloud to having its labelled cloud."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64

from kdmos_ros.bench.run import WARM_UP_S, Case, peak_memory_mb
from kdmos_ros.commands._options import open_bag
from kdmos_ros.demo.node_process import NodeProcess
from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluate import Latency, percentiles
from kdmos_ros.geometry import matrix_to_quaternion
from kdmos_ros.io.bag_file import BagFile
from kdmos_ros.io.bags import BagReader
from kdmos_ros.ros.demo_session import (
    LABELLED_TOPIC,
    Monitor,
    header_stamp,
    ros_node,
    wait_until,
)
from kdmos_ros.ros.player import message_class
from kdmos_ros.ros.qos import profile

_NODE = "/mos_node"
_STAGES = (
    *("queue", "decode", "pose", "residual", "features", "encoder", "scatter", "bev", "gather"),
    *("encode", "publish", "total"),
)
_CONNECT_S, _START_S, _LAST_S = 30.0, 240.0, 3.0


def measure(case: Case) -> dict[str, Any]:
    """Play a bag to the node in real time and time its answers.

    The caller keeps other ROS 2 systems apart (`node_process.isolate`).

    Returns:
        model, provider and precision in use; ready_s: from the start of the process to taking
        clouds; peak_memory_mb of that process; sent and labelled clouds after the warm-up;
        latency_ms: percentiles from before publishing a cloud to having it back; stages_ms: those
        inside the node, `total` from a cloud's arrival to the end of publishing.

    Raises:
        KdmosError: the node does not start, ends, or labels nothing after the warm-up.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kdmos_bench_") as folder,
        open_bag(case.path, case.bag) as bag,
    ):
        return _measure(case, bag, Path(folder) / "node.log")


def _measure(case: Case, bag: BagReader, log: Path) -> dict[str, Any]:
    mount = bag.base_T_sensor
    numbers = [*mount[:3, 3], *matrix_to_quaternion(mount[:3, :3])]
    process = NodeProcess(
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
    started = time.monotonic()
    with process, ros_node("kdmos_bench") as node:
        monitor, ear = Monitor(node), _Ear(node)
        wait_until(
            lambda: monitor.values.get("state") == "active",
            process,
            _START_S,
            "the node does not become active",
        )
        ready = time.monotonic() - started
        mouth = _Mouth(node, bag)
        wait_until(
            lambda: mouth.heard() and node.count_publishers(ear.topic) > 0,
            process,
            _CONNECT_S,
            "the node does not listen to the topics that are played",
        )
        time.sleep(0.5)  # the node finds our subscription when we find its publisher
        mouth.play(case.limit, process.check)
        _wait_for_the_last(mouth, ear, process)
        values, memory = dict(monitor.values), peak_memory_mb(process.pid)
    return {**_figures(mouth, ear, values), "ready_s": ready, "peak_memory_mb": memory}


class _Mouth:
    """Publishes a bag's clouds and odometry, read beforehand, at the pace of their recording."""

    def __init__(self, node: Any, bag: BagReader) -> None:
        self._cloud_topic = bag.cloud_topic
        topics = [bag.cloud_topic, bag.odom_topic]
        with BagFile(bag.path) as file:
            self._messages = [(m.stamp_ns, m.topic, bytes(m.data)) for m in file.messages(topics)]
            kinds = {t.name: message_class(t.msgtype) for t in file.topics if t.name in topics}
        self._publishers = {
            name: node.create_publisher(kind, name, profile("reliable", 50))
            for name, kind in kinds.items()
        }
        self.sent: dict[int, float] = {}

    def heard(self) -> bool:
        """Whether somebody listens to each topic."""
        return all(p.get_subscription_count() for p in self._publishers.values())

    def play(self, limit: int | None, check: Callable[[], None]) -> None:
        """Publish; `sent` gets the time (time.monotonic) before publishing by the cloud's stamp."""
        start, first = time.monotonic(), self._messages[0][0]
        for stamp_ns, topic, data in self._messages:
            if limit is not None and len(self.sent) >= limit:
                return
            due = start + (stamp_ns - first) * 1e-9
            time.sleep(max(0.0, due - time.monotonic()))
            if topic == self._cloud_topic:
                check()
                self.sent[header_stamp(data)] = time.monotonic()
            self._publishers[topic].publish(data)


class _Ear:
    """Notes when labelled clouds come, and what the node says about its stages."""

    def __init__(self, node: Any) -> None:
        self.topic = LABELLED_TOPIC
        self.came: dict[int, float] = {}
        self.stages: list[tuple[float, str, float]] = []

        def labelled(data: bytes) -> None:
            now = time.monotonic()
            self.came[header_stamp(data)] = now

        self._subscriptions = [
            node.create_subscription(
                PointCloud2, self.topic, labelled, profile("reliable", 50), raw=True
            )
        ]
        for stage in _STAGES:
            self._subscriptions.append(
                node.create_subscription(
                    Float64,
                    f"{_NODE}/debug/latency/{stage}_ms",
                    lambda message, stage=stage: self.stages.append(
                        (time.monotonic(), stage, message.data)
                    ),
                    50,
                )
            )


def _wait_for_the_last(mouth: _Mouth, ear: _Ear, process: NodeProcess) -> None:
    quiet_since, last = time.monotonic(), -1
    while len(ear.came) < len(mouth.sent) and time.monotonic() - quiet_since < _LAST_S:
        process.check()
        if len(ear.came) != last:
            quiet_since, last = time.monotonic(), len(ear.came)
        time.sleep(0.05)


def _figures(mouth: _Mouth, ear: _Ear, values: dict[str, str]) -> dict[str, Any]:
    warm = min(mouth.sent.values(), default=0.0) + WARM_UP_S
    sent = {stamp: at for stamp, at in mouth.sent.items() if at >= warm}
    latency = [(ear.came[stamp] - at) * 1e3 for stamp, at in sent.items() if stamp in ear.came]
    stages = Latency()
    for came, stage, value in ear.stages:
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
