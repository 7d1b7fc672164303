"""Watches what a node listens to: is it published, and does it arrive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kdmos_ros.defaults import AUTO
from kdmos_ros.pipeline.delivery_watch import DeliveryWatch
from kdmos_ros.poses.pose_messages import POSE_TYPES
from kdmos_ros.ros.cloud_topic import CLOUD_TYPES
from kdmos_ros.ros.topic_watch import TopicWatch
from kdmos_ros.throttled_log import ThrottledLog


class InputWatch:
    """Warns, each time it is asked, about clouds and odometry that are not there.

    Args:
        clouds, odometry: resolved topics; None: no odometry is listened to.
        parameters: of the node, by name.

    Attributes:
        complaint: what is wrong with the delivery of clouds at present, or "".
    """

    def __init__(
        self,
        node: Any,
        clouds: str,
        odometry: str | None,
        parameters: Mapping[str, Any],
        log: ThrottledLog,
    ) -> None:
        self._node, self._clouds, self._parameters, self._log = node, clouds, parameters, log
        self.complaint = ""
        self._delivery = DeliveryWatch(parameters["expected_rate"])
        self._topics = [TopicWatch(node, clouds, CLOUD_TYPES, "cloud", log)]
        if odometry is not None:
            open_still = parameters["pose_source"] == AUTO  # others may have poses, and it tells
            self._topics.append(TopicWatch(node, odometry, POSE_TYPES, "odom", log, open_still))

    @property
    def lost(self) -> int:
        """Clouds that the middleware says it has lost on their way here."""
        return self._delivery.lost

    def arrived(self, stamp_ns: int) -> None:
        """A cloud with this stamp came."""
        self._delivery.arrived(stamp_ns, time.monotonic())

    def lost_on_the_way(self, count: int) -> None:
        """So many more did not."""
        self._delivery.lost_on_the_way(count, time.monotonic())

    def check(self, readable: bool = True) -> None:
        """Warn, if there is reason to. To be called every second.

        Args:
            readable: whether the clouds that are published can be received at all.
        """
        for topic in self._topics:
            topic.check()
        self._delivery.expected_rate_hz = self._parameters["expected_rate"]
        publishers = self._node.count_publishers(self._clouds)
        publishers = publishers if readable else 0
        complaint = self._delivery.complaint(time.monotonic(), publishers, self._clouds)
        self.complaint = complaint or ""
        if complaint:
            self._log.warning("delivery", complaint)
