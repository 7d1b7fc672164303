"""Notes when labelled clouds come, and what the node says about its stages."""

from __future__ import annotations

import time
from typing import Any

from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64

from kdmos_ros.io.bag_messages import header_stamp
from kdmos_ros.ros.client import LABELLED_TOPIC
from kdmos_ros.ros.qos import profile

_NODE = "/mos_node"
_STAGES = (
    *("queue", "decode", "pose", "residual", "features", "upload"),
    *("encoder", "scatter", "bev", "gather", "encode", "publish", "total"),
)


class LatencyProbe:
    """Notes when labelled clouds come, and what the node says about its stages."""

    def __init__(self, node: Any) -> None:
        self.topic = LABELLED_TOPIC
        self.arrived: dict[int, float] = {}
        self.stages: list[tuple[float, str, float]] = []

        def labelled(data: bytes) -> None:
            now = time.monotonic()
            self.arrived[header_stamp(data)] = now

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
