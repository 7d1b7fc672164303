"""Feeds the node with a bag, at any pace and for any time: the player of `kdmos bench`."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from kdmos_ros.io.bag_file import BagFile
from kdmos_ros.io.bag_messages import header_stamp, restamped
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.ros.messages import SECOND_NS
from kdmos_ros.ros.player import message_class
from kdmos_ros.ros.qos import profile

_DEPTH = 50


class BagFeeder:
    """Publishes a bag's clouds and odometry, read beforehand.

    Args:
        rate_hz: clouds a second; None: the pace of the recording. Stamps stay as recorded, so that
            the drive is the same one, only faster or slower.

    Attributes:
        recorded_s: how long the recording is.
        sent: the time (time.monotonic()) before publishing by the cloud's stamp, ns.
    """

    def __init__(self, node: Any, bag: BagReader, rate_hz: float | None = None) -> None:
        self._cloud_topic = bag.cloud_topic
        topics = [bag.cloud_topic, bag.odom_topic]
        with BagFile(bag.path) as file:
            self._messages = [(m.stamp_ns, m.topic, bytes(m.data)) for m in file.messages(topics)]
            kinds = {t.name: message_class(t.msgtype) for t in file.topics if t.name in topics}
        self._publishers = {
            name: node.create_publisher(kind, name, profile("reliable", _DEPTH))
            for name, kind in kinds.items()
        }
        clouds = [stamp for stamp, topic, _ in self._messages if topic == self._cloud_topic]
        period_ns = float(np.median(np.diff(clouds))) if len(clouds) > 1 else SECOND_NS / 10
        self._period_s = period_ns / SECOND_NS
        self._rate_hz = rate_hz
        self._turns = 0
        self._first_ns = self._messages[0][0]
        self._turn_ns = self._messages[-1][0] - self._first_ns + round(period_ns)
        self.recorded_s = self._turn_ns / SECOND_NS
        self.sent: dict[int, float] = {}

    def heard(self) -> bool:
        """Whether somebody listens to each topic."""
        return all(p.get_subscription_count() for p in self._publishers.values())

    def play(
        self,
        check: Callable[[], None],
        limit: int | None = None,
        seconds: float | None = None,
        rate_hz: float | None = None,
    ) -> None:
        """Publish. Called again, it goes on with later stamps.

        Args:
            check: called before each cloud.
            limit: stop after so many clouds.
            seconds: play the bag again and again, each time with later stamps, for so long; None:
                once.
            rate_hz: another pace, this time.
        """
        start, before = time.monotonic(), self._turns * self._turn_ns
        rate_hz = self._rate_hz if rate_hz is None else rate_hz
        speed = 1.0 if rate_hz is None else rate_hz * self._period_s
        for turn in count(self._turns):
            shift_ns, self._turns = turn * self._turn_ns, turn + 1
            for stamp_ns, topic, data in self._messages:
                since = (stamp_ns - self._first_ns + shift_ns - before) / SECOND_NS / speed
                if seconds is not None and since >= seconds:
                    return
                if limit is not None and len(self.sent) >= limit:
                    return
                time.sleep(max(0.0, start + since - time.monotonic()))
                message = restamped(data, shift_ns) if shift_ns else data
                if topic == self._cloud_topic:
                    check()
                    self.sent[header_stamp(message)] = time.monotonic()
                self._publishers[topic].publish(message)
            if seconds is None:
                return
