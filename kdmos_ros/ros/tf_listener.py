"""What tf2 knows of frames: one buffer, with its subscriptions, for all of a node that ask TF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdmos_ros.geometry.mount import parse_transform


class TfListener:
    """tf2's buffer, fed from /tf and /tf_static.

    Args:
        node: gets the subscriptions.

    Attributes:
        tf2: the module tf2_ros.
        buffer: its Buffer.

    Raises:
        ImportError: tf2_ros is not installed.
    """

    def __init__(self, node: Any) -> None:
        import tf2_ros

        self.tf2 = tf2_ros
        self.buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self.buffer, node, spin_thread=False)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def listen_to_tf(node: Any, parameters: Mapping[str, Any]) -> TfListener | None:
    """A listener if poses or the LiDAR's mount come from TF; None if not, or without tf2_ros."""
    fixed_mount = parse_transform(parameters["base_to_lidar"]) is not None
    if parameters["pose_source"] != "tf" and fixed_mount:
        return None
    try:
        return TfListener(node)
    except ImportError:
        return None
