"""Where the LiDAR sits on the robot, from the static transforms of a bag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.io.bag_poses import TF_STATIC, chain
from kdmos_ros.poses.extrinsics import ExtrinsicError

Matrix = npt.NDArray[np.float64]


class RecordedExtrinsics:
    """Extrinsics of a replay, as TF gives them to the node.

    Args:
        static: {(parent, child): T_parent_child (4, 4)}.
    """

    def __init__(self, static: dict[tuple[str, str], Matrix]) -> None:
        self._static = static
        self._found: dict[tuple[str, str], Matrix | None] = {}

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
        if base == lidar:
            return None
        if (base, lidar) not in self._found:
            self._found[base, lidar] = chain(self._static, base, lidar)
        mount = self._found[base, lidar]
        if mount is None:
            raise ExtrinsicError(
                "no_extrinsic",
                f"no static transform from {base!r} to {lidar!r} in {TF_STATIC}; give it with "
                "--base-to-lidar",
            )
        return mount

    def rewind(self) -> None:
        """Nothing to do: static transforms stay."""

    def close(self) -> None:
        """Nothing to do."""
