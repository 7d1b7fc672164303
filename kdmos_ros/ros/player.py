"""Plays a rosbag2 over DDS in real time, for machines without `ros2 bag play`."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import BagError, BagFile, RawMessage
from kdmos_ros.ros.messages import SECOND_NS
from kdmos_ros.ros.qos import profile

_LATCHED = ("/tf_static", "/robot_description", "/map")
_DEPTH = 50
_CLOCK_STEP_S = 0.01
_LONGEST_SLEEP_S = 0.2


def message_class(msgtype: str) -> Any | None:
    """The Python class of 'package/msg/Name', or None where that package is not installed."""
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError):
        return None


class Player:
    """Publishes the serialised messages of a bag at the pace of their recording.

    Args:
        node: owner of the publishers.
        bag: open bag.
        topics: names to play; None: all.
        rate: 2 plays twice as fast.
        clock: also publish /clock, with the bag's time.

    Attributes:
        left_out: messages by topic whose type is not installed here.
        sent: messages published by topic.

    Raises:
        BagError: a wanted topic is not in the bag, or nothing is left to play.
    """

    def __init__(
        self,
        node: Any,
        bag: BagFile,
        *,
        topics: Collection[str] | None = None,
        rate: float = 1.0,
        clock: bool = False,
    ) -> None:
        if not rate > 0:
            raise KdmosError(f"rate must be above 0: {rate}")
        self._node = node
        self._bag = bag
        self._rate = rate
        self.left_out: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self._publishers = self._make_publishers(topics)
        self._clock: Any = None
        if clock:
            self._clock_type: Any = message_class("rosgraph_msgs/msg/Clock")
            if self._clock_type is None:
                raise KdmosError("/clock needs the package rosgraph_msgs")
            self._clock = node.create_publisher(
                self._clock_type, "/clock", profile("best_effort", 1)
            )

    def _make_publishers(self, topics: Collection[str] | None) -> dict[str, Any]:
        names = None if topics is None else {"/" + name.strip("/") for name in topics}
        missing = (names or set()) - {topic.name for topic in self._bag.topics}
        if missing:
            listed = ", ".join(sorted(topic.name for topic in self._bag.topics))
            raise BagError(f"{self._bag.path}: no topic {min(missing)}; the bag has {listed}")
        publishers = {}
        for topic in self._bag.topics:
            if topic.name == "/clock" or (names is not None and topic.name not in names):
                continue
            kind = message_class(topic.msgtype)
            if kind is None:
                self.left_out[topic.name] = topic.count
                continue
            latched = topic.name in _LATCHED
            publishers[topic.name] = self._node.create_publisher(
                kind, topic.name, profile("reliable", _DEPTH, latched=latched)
            )
        if not publishers:
            raise BagError(f"{self._bag.path}: nothing to play")
        return publishers

    @property
    def topics(self) -> list[str]:
        """Topics that are played."""
        return list(self._publishers)

    def missing_subscribers(self) -> list[str]:
        """Topics (latched ones aside) that nobody listens to."""
        return [
            name
            for name, publisher in self._publishers.items()
            if name not in _LATCHED and publisher.get_subscription_count() == 0
        ]

    def play(self) -> Iterator[RawMessage]:
        """Play the bag once; yields each message after it was published.

        Raises:
            BagError: the bag turns out to be damaged.
        """
        start = first = None
        for raw in self._bag.messages(self._publishers):
            if start is None or first is None:
                start, first = time.monotonic(), raw.stamp_ns
            self._wait_until(start, first, raw.stamp_ns)
            if not self._node.context.ok():
                return
            self._publish_clock(raw.stamp_ns)
            self._publishers[raw.topic].publish(bytes(raw.data))
            self.sent[raw.topic] += 1
            yield raw

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until reliable subscribers have everything."""
        from rclpy.duration import Duration

        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=timeout_s))

    def close(self) -> None:
        """Take the publishers down."""
        for publisher in [*self._publishers.values(), *([self._clock] if self._clock else [])]:
            self._node.destroy_publisher(publisher)

    def _wait_until(self, start: float, first_ns: int, stamp_ns: int) -> None:
        """Sleep to the moment of a message, in small steps if there is a clock to keep going."""
        due = start + (stamp_ns - first_ns) / SECOND_NS / self._rate
        step = _CLOCK_STEP_S if self._clock is not None else _LONGEST_SLEEP_S
        while (left := due - time.monotonic()) > 0 and self._node.context.ok():
            time.sleep(min(left, step))
            if left > step:
                passed = (time.monotonic() - start) * self._rate
                self._publish_clock(min(stamp_ns, first_ns + int(passed * SECOND_NS)))

    def _publish_clock(self, stamp_ns: int) -> None:
        if self._clock is not None and self._node.context.ok():
            message = self._clock_type()
            message.clock.sec, message.clock.nanosec = divmod(stamp_ns, SECOND_NS)
            self._clock.publish(message)
