"""The subscription of the clouds, of the type that is published on their topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from kdmos_ros.io.message_types import POINT_CLOUD
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.livox import CUSTOM_MESSAGES, read_custom_message
from kdmos_ros.ros.messages import SECOND_NS, cloud_message
from kdmos_ros.ros.player import message_class
from kdmos_ros.throttled_log import ThrottledLog

CLOUD_TYPES = (POINT_CLOUD, *CUSTOM_MESSAGES)


class CloudTopic:
    """Subscribes to PointCloud2, or to Livox's CustomMsg if only such is published.

    Args:
        node: asked what is published.
        subscribe: makes a subscription of a message class with a callback; the third argument asks
            for serialised messages.
        receive: gets PointCloud2 messages.
        statistics: counts messages that cannot be read, as `bad_custom_message`.

    Attributes:
        readable: whether what is published can be received; true while nothing is.
    """

    def __init__(
        self,
        node: Any,
        subscribe: Callable[[Any, Callable[[Any], None], bool], Any],
        receive: Callable[[PointCloud2], None],
        statistics: Statistics,
        log: ThrottledLog,
    ) -> None:
        self._node = node
        self._subscribe = subscribe
        self._receive = receive
        self._statistics = statistics
        self._log = log
        self._msgtype = POINT_CLOUD
        self._subscription = subscribe(PointCloud2, receive, False)
        self.readable = True
        self.follow()

    @property
    def topic_name(self) -> str:
        """The topic, after remapping."""
        return str(self._subscription.topic_name)

    def follow(self) -> None:
        """Subscribe to what is published now, if that is another type."""
        infos = self._node.get_publishers_info_by_topic(self.topic_name)
        published = {info.topic_type for info in infos}
        known = [kind for kind in CLOUD_TYPES if kind in published]
        classes = {kind: found for kind in known if (found := message_class(kind)) is not None}
        self.readable = not published or bool(classes)
        if known and not classes:
            self._log.warning("cloud_type", _complaint(self.topic_name, known[0]))
        # Without a publisher, or with one of the present type too, it stays.
        if not classes or self._msgtype in classes:
            return
        self._msgtype, found = next(iter(classes.items()))
        self._node.destroy_subscription(self._subscription)
        raw = self._msgtype != POINT_CLOUD
        self._subscription = self._subscribe(found, self._on_custom if raw else self._receive, raw)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_custom(self, data: bytes) -> None:
        try:
            stamp_ns, frame, cloud = read_custom_message(data)
        except ValueError as error:
            self._statistics.dropped("bad_custom_message")
            self._log.warning("bad_custom_message", f"{self.topic_name}: {error}")
            return
        sec, nanosec = divmod(stamp_ns, SECOND_NS)
        header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame)
        self._receive(cloud_message(header, cloud))


def _complaint(topic: str, msgtype: str) -> str:
    package = msgtype.partition("/")[0]
    return (
        f"{topic} is {msgtype}, and the package {package} is not installed here: source the"
        " workspace of the Livox driver before the node starts, or set the driver's xfer_format"
        " to 0 (PointCloud2)"
    )
