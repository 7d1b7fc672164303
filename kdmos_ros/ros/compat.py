"""What differs between the supported releases (Humble, Jazzy, Kilted)."""

from __future__ import annotations

import rclpy

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ["SubscriptionEventCallbacks", "try_shutdown"]


def try_shutdown() -> None:
    """Shut the default context down, unless a signal has done it already."""
    if hasattr(rclpy, "try_shutdown"):
        rclpy.try_shutdown()
    else:  # early releases of Humble
        rclpy.get_default_context().try_shutdown()
        rclpy.signals.uninstall_signal_handlers()
