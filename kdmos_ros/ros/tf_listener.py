"""What tf2 knows of frames: one buffer, with its subscriptions, for all of a node that ask TF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdmos_ros.defaults import AUTO
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.poses.timeline import NEAR_NS


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

    def look_up(self, target: str, source: str, stamp_ns: int) -> Any:
        """The newest TransformStamped at a stamp, or next to it where TF begins or ends there.

        Args:
            target, source: frame ids; the transform is T_target_source.

        Raises:
            tf2's TransformException: there is none.
        """
        return look_up_near(self.tf2, self.buffer, target, source, stamp_ns)

    def connects(self, target: str, source: str) -> bool:
        """Whether TF knows a way between two frames, at any time."""
        try:
            self.buffer.get_latest_common_time(target, source)
        except self.tf2.TransformException:
            return False
        return True

    def moves(self, target: str, source: str) -> bool:
        """Whether TF connects two frames that move against each other."""
        try:
            newest = self.buffer.get_latest_common_time(target, source)
        except self.tf2.TransformException:
            return False
        return bool(newest.nanoseconds > 0)  # 0: static transforms only

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def look_up_near(tf2: Any, buffer: Any, target: str, source: str, stamp_ns: int) -> Any:
    """See TfListener.look_up."""
    from rclpy.time import Time

    try:
        return buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
    except tf2.ExtrapolationException as error:
        for near_ns in _near(tf2, buffer, target, source, stamp_ns):
            try:
                return buffer.lookup_transform(target, source, Time(nanoseconds=near_ns))
            except tf2.ExtrapolationException:
                continue  # TF begins farther from the stamp
        raise error


def _near(tf2: Any, buffer: Any, target: str, source: str, stamp_ns: int) -> list[int]:
    """Stamps at which TF may know what it does not at the stamp itself, the best first."""
    try:
        newest_ns = buffer.get_latest_common_time(target, source).nanoseconds
    except tf2.TransformException:
        return []
    if newest_ns <= stamp_ns:
        return [newest_ns] if stamp_ns - newest_ns <= NEAR_NS else []
    # tf2 does not tell where its memory begins.
    after = [ns for ns in (1_000, 10_000, 100_000, NEAR_NS) if stamp_ns + ns < newest_ns]
    return [*(stamp_ns + ns for ns in after), *([newest_ns] if len(after) < 4 else [])]


def listen_to_tf(node: Any, parameters: Mapping[str, Any]) -> TfListener | None:
    """A listener if poses or the LiDAR's mount come from TF; None if not, or without tf2_ros."""
    fixed_mount = parse_transform(parameters["base_to_lidar"]) is not None
    if parameters["pose_source"] not in (AUTO, "tf") and fixed_mount:
        return None
    try:
        return TfListener(node)
    except ImportError:
        return None
