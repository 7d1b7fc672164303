"""Where the LiDAR sits on the robot, from the transforms of a bag."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.io.bag_poses import TF_STATIC, chain
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.poses.extrinsics import ExtrinsicError

Matrix = npt.NDArray[np.float64]


class RecordedExtrinsics:
    """Extrinsics of a replay, as TF gives them to the node.

    Args:
        static: {(parent, child): T_parent_child (4, 4)}.
        read_moving: reads all transforms, once, where the static ones do not tell.
    """

    def __init__(
        self,
        static: dict[tuple[str, str], Matrix],
        read_moving: Callable[[], BagTransforms] | None = None,
    ) -> None:
        self._static = static
        self._read_moving = read_moving
        self._moving: BagTransforms | None = None
        self._found: dict[tuple[str, str], Matrix | None] = {}

    def look_up(self, base: str, lidar: str, stamp_ns: int, timeout_s: float) -> Matrix | None:
        """See Extrinsics."""
        if base == lidar:
            return None
        if (base, lidar) not in self._found:
            self._found[base, lidar] = chain(self._static, base, lidar)
        mount = self._found[base, lidar]
        return self._on_joint(base, lidar, stamp_ns) if mount is None else mount

    def _on_joint(self, base: str, lidar: str, stamp_ns: int) -> Matrix:
        if self._moving is None and self._read_moving is not None:
            self._moving = self._read_moving()
        why = ""
        if self._moving is not None and self._moving.has_moving:
            try:
                return self._moving.look_up(base, lidar, stamp_ns)
            except PoseError as error:
                why = f", nor a moving one ({error})"
        raise ExtrinsicError(
            "no_extrinsic",
            f"no static transform from {base!r} to {lidar!r} in {TF_STATIC}{why}; give it with "
            "--base-to-lidar",
        )

    def rewind(self) -> None:
        """Nothing to do: static transforms stay."""

    def close(self) -> None:
        """Nothing to do."""
