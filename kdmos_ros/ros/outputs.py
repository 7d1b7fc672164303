"""The node's publishers: computed only for topics that somebody listens to."""

from __future__ import annotations

import time
from typing import Any

from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.pipeline.pending_cloud import Labelled
from kdmos_ros.pointcloud.codec import PackedCloud, append_label, subset
from kdmos_ros.ros.messages import cloud_message
from kdmos_ros.ros.object_outputs import ObjectOutputs


class Outputs:
    """Publishes `~/labeled`, `~/moving`, `~/static` (labels 1, 2; also empty), objects."""

    def __init__(self, node: Any, qos: QoSProfile) -> None:
        self._node = node
        self._labelled = node.create_publisher(PointCloud2, "~/labeled", qos)
        self._moving = node.create_publisher(PointCloud2, "~/moving", qos)
        self._static = node.create_publisher(PointCloud2, "~/static", qos)
        self._objects = ObjectOutputs(node)

    def publish(self, result: Labelled) -> dict[str, float]:
        """Publish what is subscribed; returns the milliseconds of its stages."""
        timings = {"encode": 0.0, "publish": 0.0}
        try:
            self._publish(result, timings)
            timings.update(self._objects.publish(result))
        except Exception:
            if self._node.context.ok():
                raise  # else the node was told to stop meanwhile: nobody to publish to
        return timings

    def _publish(self, result: Labelled, timings: dict[str, float]) -> None:
        message, labels = result.message, result.labels
        if self._labelled.get_subscription_count():
            start = time.perf_counter()
            cloud = append_label(result.layout, labels, result.moving_probability)
            self._send(self._labelled, message.header, cloud, start, timings)
        if self._moving.get_subscription_count():
            start = time.perf_counter()
            cloud = subset(result.layout, labels == MOVING)
            self._send(self._moving, message.header, cloud, start, timings)
        if self._static.get_subscription_count():
            start = time.perf_counter()
            cloud = subset(result.layout, (labels == STATIC) | (labels == MOVABLE))
            self._send(self._static, message.header, cloud, start, timings)

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in (self._labelled, self._moving, self._static):
            self._node.destroy_publisher(publisher)
        self._objects.destroy()

    @staticmethod
    def _send(
        publisher: Any, header: Any, cloud: PackedCloud, start: float, timings: dict[str, float]
    ) -> None:
        message = cloud_message(header, cloud)
        encoded = time.perf_counter()
        publisher.publish(message)
        timings["encode"] += (encoded - start) * 1e3
        timings["publish"] += (time.perf_counter() - encoded) * 1e3
