"""Where the LiDAR sits on the robot: from a parameter or from TF."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.poses.extrinsics import (
    ExtrinsicError,
    Extrinsics,
    FixedExtrinsics,
    UnknownExtrinsics,
)
from kdmos_ros.poses.pose_messages import place_of
from kdmos_ros.ros.tf_listener import TfListener

Matrix = npt.NDArray[np.float64]
_POLL_S = 0.01


class TfExtrinsics:
    """The transform comes from /tf_static or /tf, at the cloud's stamp."""

    def __init__(self, tf: TfListener) -> None:
        self._tf = tf
        self._error = tf.tf2.TransformException
        self._buffer = tf.buffer

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
            return place_of(self._look_up(base, lidar, stamp_ns, timeout_s))
        except (self._error, ValueError) as error:
            text = " ".join(str(error).split())
            raise ExtrinsicError(
                "no_extrinsic", f"no transform {base} -> {lidar}: {text}"
            ) from None

    def _look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self._tf.look_up(base, lidar, stamp_ns)
            except self._error:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL_S)

    def rewind(self) -> None:
        """See Extrinsics."""
        self._buffer.clear()  # tf2 refuses what is older than its cache; static ones stay

    def close(self) -> None:
        """Nothing to do: the listener's owner closes it."""


def make_extrinsics(tf: TfListener | None, base_to_lidar: Any) -> Extrinsics:
    """The parameter if it is set, else TF where there is a listener."""
    matrix = parse_transform(base_to_lidar)
    if matrix is not None:
        return FixedExtrinsics(matrix)
    return UnknownExtrinsics() if tf is None else TfExtrinsics(tf)
