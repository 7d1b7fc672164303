"""Where the LiDAR sits on the robot: from a parameter or from TF."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.duration import Duration
from rclpy.time import Time

from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.poses.extrinsics import (
    ExtrinsicError,
    Extrinsics,
    FixedExtrinsics,
    UnknownExtrinsics,
)
from kdmos_ros.ros.messages import transform_matrix

Matrix = npt.NDArray[np.float64]


class TfExtrinsics:
    """The transform comes from /tf_static or /tf, at the cloud's stamp."""

    def __init__(self, node: Any) -> None:
        import tf2_ros

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
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
