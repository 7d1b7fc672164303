"""Records topics to a bag as they come over DDS, serialised, for machines without `ros2 bag`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.ros.player import message_class
from kdmos_ros.ros.qos import profile


class Recorder:
    """Subscribes to topics and writes every message to a bag; needs its node to be spun.

    Args:
        node: owner of the subscriptions.
        topics: name -> message type, as 'sensor_msgs/msg/PointCloud2'.
        writer: open bag; the caller closes it after `close`.
        depth: messages that may wait for the callback, by topic.

    Attributes:
        counts: messages written by topic.

    Raises:
        KdmosError: a message type is not installed.
    """

    def __init__(
        self, node: Any, topics: Mapping[str, str], writer: BagWriter, depth: int = 100
    ) -> None:
        self._node = node
        self._writer = writer
        self._lock = threading.Lock()
        self._last_ns = 0
        self._closed = False
        self.counts: Counter[str] = Counter()
        kinds = {}
        for name, msgtype in topics.items():
            kind = message_class(msgtype)
            if kind is None:
                raise KdmosError(f"cannot record {name}: {msgtype} is not installed")
            kinds[name] = kind
            writer.add_topic(name, msgtype)
        self._subscriptions = [
            node.create_subscription(
                kind,
                name,
                lambda data, name=name: self._write(name, data),
                profile("reliable", depth),
                raw=True,
            )
            for name, kind in kinds.items()
        ]

    def close(self) -> None:
        """Stop recording; what was received is written, what is still under way is not."""
        with self._lock:
            # A callback may be running in the executor's thread, and the bag is closed next.
            self._closed = True
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _write(self, name: str, data: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            # The time of arrival orders a bag; two messages must not share a place in it.
            self._last_ns = max(self._last_ns + 1, time.time_ns())
            self._writer.write_raw(name, self._last_ns, data)
            self.counts[name] += 1
