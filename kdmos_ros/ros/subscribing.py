"""Makes the node's subscriptions, which tell when a publisher's QoS does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kdmos_ros.ros.compat import SubscriptionEventCallbacks, UnsupportedEventTypeError
from kdmos_ros.ros.qos import profile
from kdmos_ros.throttled_log import ThrottledLog


class Input(NamedTuple):
    """A topic to listen to.

    Attributes:
        topic: name before remapping.
        reliability, depth: QoS.
        parameter: sets the reliability.
    """

    topic: str
    reliability: str
    depth: int
    parameter: str


def subscribe(
    node: Any,
    wanted: Input,
    kind: Any,
    callback: Callable[[Any], None],
    log: ThrottledLog,
    lost: Callable[[int], None] | None = None,
    raw: bool = False,
) -> Any:
    """A subscription of a message class; what does not fit goes to the log.

    Args:
        lost: gets the number of messages that the middleware has lost since the last call, as far
            as it counts them.
        raw: messages come serialised.
    """

    def incompatible(_event: Any) -> None:
        log.warning(
            f"qos {wanted.topic}",
            f"nothing is received from a publisher of {node.resolve_topic_name(wanted.topic)}: "
            f"its QoS does not fit this node's ({wanted.reliability}); most likely it is best "
            f"effort, so set the parameter {wanted.parameter} to 'best_effort'",
        )

    def make(callbacks: Any) -> Any:
        quality = profile(wanted.reliability, wanted.depth)
        return node.create_subscription(
            kind, wanted.topic, callback, quality, raw=raw, event_callbacks=callbacks
        )

    if lost is not None:
        try:
            return make(
                SubscriptionEventCallbacks(
                    incompatible_qos=incompatible,
                    message_lost=lambda event: lost(event.total_count_change),
                )
            )
        except UnsupportedEventTypeError:
            pass  # a middleware that does not count them
    return make(SubscriptionEventCallbacks(incompatible_qos=incompatible))
