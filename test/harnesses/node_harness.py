"""A node in this process with a stand-in for the network, and a client that talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from cloud_harness import make_cloud
from rclpy.parameter import Parameter
from ros_harness import Client

from kdmos_ros.ros.compat import try_shutdown
from kdmos_ros.ros.node import MosNode
from kdmos_ros.segmentation.segmenter import Segmentation

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND // 10


class FakeSegmenter:
    """Labels point i with i % 4; notes resets."""

    model_name, provider, fell_back, note = "fake", "CPUExecutionProvider", False, ""
    precision = "fp32"

    def __init__(self):
        self.resets = 0
        self.poses = []
        self.mount = None

    def push(self, scan):
        n = len(scan.points)
        self.poses.append(scan.pose)
        self.mount = scan.base_T_sensor
        labels = (np.arange(n) % 4).astype(np.uint8)
        return Segmentation(labels, np.linspace(0, 1, n, dtype=np.float32), scan.stamp_ns, {})

    def reset(self):
        self.resets += 1


@contextmanager
def node_bench() -> Iterator[Callable[..., tuple[MosNode, Client, FakeSegmenter]]]:
    """A function that makes a node with parameters, its client and its segmenter.

    They are closed in the end. Without `start`, the node is still unconfigured; `load` stands in
    for loading the model.
    """
    rclpy.init()
    made: list[tuple[MosNode, Client]] = []

    def make(start: bool = True, load: Any = None, **parameters: Any):
        segmenter = FakeSegmenter()
        values = {
            "base_to_lidar": "0 0 1.73", "cloud_reliability": "reliable",
            "odom_reliability": "reliable", "queue_size": 100, "cloud_depth": 100,
            "pose_source": "odometry", "pose_timeout": 30.0, "diagnostics_period": 0.1,
            **parameters,
        }  # fmt: skip
        node = MosNode(
            load or (lambda _: segmenter),
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        client = Client(others=(node,))
        made.append((node, client))
        if start:
            node.start()
            client.until_connected()
        return node, client, segmenter

    try:
        yield make
    finally:
        for node, client in made:
            node.stop()
            client.close()
            node.destroy_node()
        try_shutdown()


def pose(x: float) -> Any:
    """(4, 4) pose at x along the fixed frame's x axis."""
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def label_cloud(client: Client, step: int, width: int = 50) -> None:
    """Have the node label its cloud number `step`, which has a pose, and wait for it."""
    client.send_odometry(START + step * STEP, pose(0))
    client.send_cloud(START + step * STEP, make_cloud(width=width)[0])
    client.until(lambda: len(client.labelled) == step + 1, "the labelled cloud")
