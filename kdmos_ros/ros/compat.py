"""What differs between the supported releases (Humble, Jazzy, Kilted), and between installs.

tf_transformations is in every full install, but not among the ROS wheels. sensor_msgs_py is not
used: its reader ignores row padding and swaps rows and columns of organised clouds, its writer
fixes flags that outputs must keep; the tests hold our clouds against it where it is right.
"""

from __future__ import annotations

from typing import Any

import rclpy

from kdmos_ros.geometry.transforms import matrix_to_quaternion

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

try:
    from tf_transformations import quaternion_from_matrix
except Exception:  # not installed, or its transforms3d does not fit the numpy that is

    def quaternion_from_matrix(matrix: Any) -> Any:
        """Quaternion x y z w of a transform (4, 4)."""
        return matrix_to_quaternion(matrix[:3, :3])


__all__ = [
    "SubscriptionEventCallbacks",
    "UnsupportedEventTypeError",
    "quaternion_from_matrix",
    "try_shutdown",
]


def try_shutdown() -> None:
    """Shut the default context down, unless a signal has done it already."""
    if hasattr(rclpy, "try_shutdown"):
        rclpy.try_shutdown()
    else:  # early releases of Humble
        rclpy.get_default_context().try_shutdown()
        rclpy.signals.uninstall_signal_handlers()
