"""The subscription of the odometry, of the type that is published on its topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdmos_ros.pipeline.odometry_source import OdometrySource
from kdmos_ros.poses.pose_messages import ODOMETRY, POSE_TYPES
from kdmos_ros.ros.player import message_class
from kdmos_ros.throttled_log import ThrottledLog


class OdometryTopic:
    """Subscribes to Odometry, or to another type with poses if only such is published.

    Args:
        node: asked what is published.
        subscribe: makes a subscription of a message class with a callback.
        source: gets the messages.
    """

    def __init__(
        self,
        node: Any,
        subscribe: Callable[[Any, Callable[[Any], None]], Any],
        source: OdometrySource,
        log: ThrottledLog,
    ) -> None:
        self._node = node
        self._subscribe = subscribe
        self._source = source
        self._log = log
        self._msgtype = ""
        self._subscription: Any = None
        self.follow()

    def follow(self) -> None:
        """Subscribe to what is published now, if that is another type."""
        published = {
            info.topic_type for info in self._node.get_publishers_info_by_topic(self._source.topic)
        }
        readable = [kind for kind in POSE_TYPES if kind in published]
        if published and not readable:
            self._log.warning(
                "odometry_type",
                f"{self._source.topic} is {', '.join(sorted(published))}, from which no poses can "
                f"be read: name a topic of {', '.join(POSE_TYPES)} (launch argument odom)",
            )
        # Without a publisher, or with one of the present type too, it stays.
        wanted = readable[0] if readable else self._msgtype or ODOMETRY
        if wanted == self._msgtype or self._msgtype in readable:
            return
        self.close()
        self._msgtype = wanted
        self._subscription = self._subscribe(
            message_class(wanted), lambda message: self._source.receive(message, wanted)
        )

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
