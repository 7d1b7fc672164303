"""Says which topics there are where nothing is published on the one that is listened to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.node import Node

from kdmos_ros.throttled_log import ThrottledLog

PATIENCE_S = 3.0
_MOST_NAMED = 8


class TopicWatch:
    """Watches one topic. To be asked every second.

    Args:
        node: asked for the topics; what it publishes itself is no candidate.
        topic: resolved name.
        types: message types that can be read, as "nav_msgs/msg/Odometry".
        argument: launch argument that names the topic.
        only_with_others: say nothing where there is no other topic of these types either.
        clock: gives seconds and never goes back.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        types: Sequence[str],
        argument: str,
        log: ThrottledLog,
        only_with_others: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._topic, self._types = node, topic, tuple(types)
        self._argument, self._log, self._clock = argument, log, clock
        self._only_with_others = only_with_others
        self._last_published = clock()

    def check(self) -> None:
        """Warn if nothing of these types has been published for PATIENCE_S."""
        present = {info.topic_type for info in self._publishers(self._topic)}
        now = self._clock()
        if present & set(self._types):
            self._last_published = now
        elif now - self._last_published > PATIENCE_S:
            others = self._others()
            if others or not self._only_with_others:
                self._log.warning(f"no {self._argument}", self._complaint(present, others))

    def _complaint(self, present: set[str], others: list[str]) -> str:
        wanted = self._types[0]
        what = f"{self._topic} is {', '.join(sorted(present))}, not {wanted}"
        if not present:
            what = f"nothing publishes {wanted} on {self._topic}"
        if not others:
            return f"{what}, and there is no other topic of that type: is its publisher running?"
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        named = ", ".join(others[:_MOST_NAMED])
        return (
            f"{what}; there is {named}{more}: name one by the launch argument {self._argument}, "
            f"or remap {self._topic}"
        )

    def _others(self) -> list[str]:
        """Topics of these types, those of the first one first."""
        found = [
            (min(self._types.index(kind) for kind in kinds if kind in self._types), name)
            for name, kinds in self._node.get_topic_names_and_types()
            if name != self._topic and set(kinds) & set(self._types) and self._publishers(name)
        ]
        return [name for _, name in sorted(found)]

    def _publishers(self, topic: str) -> list[Any]:
        own = self._node.get_name(), self._node.get_namespace()
        return [
            info
            for info in self._node.get_publishers_info_by_topic(topic)
            if (info.node_name, info.node_namespace) != own
        ]
