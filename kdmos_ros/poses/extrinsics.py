"""Where the LiDAR sits on the robot: what the pipeline asks, and answers that need no TF."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import ReasonedError

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
