"""Where the LiDAR sits on the robot: from a parameter or from TF."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import ReasonedError
from kdmos_ros.mount import parse_transform

Matrix = npt.NDArray[np.float64]


class ExtrinsicError(ReasonedError):
    """The transform from the base to the LiDAR is unknown."""


class Extrinsics(Protocol):
    """A source of T_base_lidar."""

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """T_base_lidar (4, 4), or None if both are the same frame.

        Args:
            base, lidar: frame ids, without a leading slash.
            timeout_s: longest wait for it.

        Raises:
            ExtrinsicError: it is not known (yet).
        """

    def rewind(self) -> None:
        """The clouds' time was set back: forget moving transforms of the time after it."""

    def close(self) -> None:
        """Stop listening."""


class FixedExtrinsics:
    """The transform is given."""

    def __init__(self, base_T_lidar: Matrix) -> None:
        self._matrix = base_T_lidar

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
        return self._matrix

    def rewind(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class UnknownExtrinsics:
    """Stands in where tf2_ros is not installed: only equal frames are known."""

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
        if base == lidar:
            return None
        raise ExtrinsicError(
            "no_extrinsic",
            f"transform {base or '(odometry without child frame)'} -> {lidar} is unknown: tf2_ros "
            "is not installed here, so set the parameter base_to_lidar",
        )

    def rewind(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class TfExtrinsics:
    """The transform comes from /tf_static or /tf, at the cloud's stamp."""

    def __init__(self, node: Any) -> None:
        import tf2_ros

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
        from rclpy.duration import Duration
        from rclpy.time import Time

        from kdmos_ros.ros.messages import transform_matrix

        if base == lidar:
            return None
        if not base:
            raise ExtrinsicError(
                "no_extrinsic",
                "the odometry names no child frame: set its child_frame_id, or the parameter "
                "base_to_lidar",
            )
        try:
            found = self._buffer.lookup_transform(
                base, lidar, Time(nanoseconds=stamp_ns), Duration(seconds=timeout_s)
            )
            return transform_matrix(found.transform)
        except (self._error, ValueError) as error:
            text = " ".join(str(error).split())
            raise ExtrinsicError(
                "no_extrinsic", f"no transform {base} -> {lidar}: {text}"
            ) from None

    def rewind(self) -> None:
        """See Extrinsics."""
        self._buffer.clear()  # tf2 refuses what is older than its cache; static ones stay

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def make_extrinsics(node: Any, base_to_lidar: Any) -> Extrinsics:
    """The parameter if it is set, else TF where it is installed."""
    matrix = parse_transform(base_to_lidar)
    if matrix is not None:
        return FixedExtrinsics(matrix)
    try:
        return TfExtrinsics(node)
    except ImportError:
        return UnknownExtrinsics()
