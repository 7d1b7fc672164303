"""ROS 2 nodes of the commands, and what they learn of the node from its diagnostics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros.compat import try_shutdown

LABELLED_TOPIC = "/mos_node/labeled"
DIAGNOSTICS_TOPIC = "/diagnostics"


class Monitor:
    """Follows the node's diagnostics."""

    def __init__(self, node: Any) -> None:
        self.values: dict[str, str] = {}
        self.messages = 0
        self._subscription = node.create_subscription(
            DiagnosticArray, DIAGNOSTICS_TOPIC, self._receive, 10
        )

    def _receive(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.values = {item.key: item.value for item in status.values}
            self.messages += 1

    def count(self, key: str) -> int:
        """A counter of the node, 0 before the first message."""
        return int(self.values.get(key, "0"))


@contextmanager
def ros_node(name: str) -> Iterator[Any]:
    """A node that is spun by a thread of its own."""
    # Signals are the command's business: rclpy would shut down and let us go on without it.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(5.0)
        node.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def publishing_node(name: str) -> Iterator[Any]:
    """A node that nobody spins. A signal ends ROS, and then whatever is done with the node."""
    rclpy.init(args=[])
    try:
        yield rclpy.create_node(name)
    except (KdmosError, KeyboardInterrupt):
        raise
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():
            raise  # else the signal came in the middle of a call
    finally:
        try_shutdown()
