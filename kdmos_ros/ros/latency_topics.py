"""Topics of latency by stage, for plots: `~/debug/latency/<stage>_ms`."""

from __future__ import annotations

from typing import Any

from std_msgs.msg import Float64

_DEPTH = 10


class LatencyTopics:
    """Publishes std_msgs/Float64, milliseconds, a topic a stage. Only subscribed ones cost.

    A topic appears with the first cloud that has its stage.

    Args:
        node: owner of the publishers.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._publishers: dict[str, Any] = {}

    def publish(self, timings_ms: dict[str, float]) -> None:
        """Send the timings of one cloud, by stage."""
        try:
            self._publish(timings_ms)
        except Exception:
            if self._node.context.ok():
                raise  # else the node was told to stop meanwhile: nobody to publish to

    def _publish(self, timings_ms: dict[str, float]) -> None:
        for stage, value in timings_ms.items():
            publisher = self._publishers.get(stage)
            if publisher is None:
                topic = f"~/debug/latency/{stage}_ms"
                publisher = self._node.create_publisher(Float64, topic, _DEPTH)
                self._publishers[stage] = publisher
            if publisher.get_subscription_count():
                publisher.publish(Float64(data=float(value)))

    def destroy(self) -> None:
        """Take the topics down."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers = {}
