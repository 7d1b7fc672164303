"""Where the LiDAR was when it took a cloud: its pose, and how it sits on the robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError, ReasonedError
from kdmos_ros.features.sensor_height import GroundHeight
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.poses.extrinsics import ExtrinsicError, Extrinsics, FixedExtrinsics
from kdmos_ros.poses.pose_source import PoseSource, StampedCloud, in_fixed_frame, is_registered
from kdmos_ros.throttled_log import ThrottledLog

Matrix = npt.NDArray[np.float64]


# What ground alignment takes out by itself.
_HIGH_M = 0.5


class DroppedScan(ReasonedError):
    """A scan that is not labelled, and why."""


@dataclass(frozen=True)
class Location:
    """Where the LiDAR was at a cloud's stamp. All matrices are (4, 4) float64.

    Attributes:
        pose: T_odom_lidar.
        tracked_T_lidar: from the LiDAR to what the poses are of; None: the poses are the LiDAR's.
        base_T_lidar: the mount on the robot; None: unknown as yet, or the robot has no base frame.
        generation: of the pose; those of two generations have no known relation.
        why: what began that generation, one line.
    """

    pose: Matrix
    tracked_T_lidar: Matrix | None
    base_T_lidar: Matrix | None
    generation: int
    why: str


class Localizer:
    """Looks poses and mounts up, as the parameters say.

    Args:
        poses: where poses come from.
        extrinsics: mount of the LiDAR on the base.
        options: current values of pose_timeout and, where there is one, base_frame.
        log: gets what the user should know.
    """

    def __init__(
        self,
        poses: PoseSource,
        extrinsics: Extrinsics,
        options: Mapping[str, Any],
        log: ThrottledLog,
    ) -> None:
        self._poses = poses
        self._extrinsics = extrinsics
        self._options = options
        self._log = log
        self._ground = GroundHeight()
        # Whether a height was named so far; None: nothing was said.
        self._height_said: bool | None = None
        self._base_said = False

    def locate(self, cloud: StampedCloud) -> Location:
        """Where the LiDAR was; blocks while the pose may still come.

        Raises:
            DroppedScan: there is no pose.
            ExtrinsicError: the mount is needed for it, and not known.
        """
        poses, timeout_s = self._poses, self._options["pose_timeout"]
        try:
            poses.observe(cloud)
            found = poses.wait(cloud.stamp_ns, timeout_s)
            self._refuse_registered(cloud)
        except PoseError as error:
            reason = f"{poses.kind}_{error.reason}"
            raise DroppedScan(reason, f"no pose for the cloud: {error}") from None
        base = self._options.get("base_frame", poses.base_frame)
        # A given mount says nothing of poses that are the LiDAR's own.
        if poses.gives_sensor or poses.base_frame == cloud.frame != base:
            mount = self._on_ground(cloud, self._height_and_tilt(cloud, base), base)
            return Location(found.pose, None, mount, found.generation, found.why)
        mount = self._extrinsics.look_up(poses.base_frame, cloud.frame, cloud.stamp_ns, timeout_s)
        if mount is None:
            mount = self._height_and_tilt(cloud, base)
            return Location(found.pose, None, mount, found.generation, found.why)
        on_ground = self._on_ground(cloud, mount, poses.base_frame)
        return Location(found.pose @ mount, mount, on_ground, found.generation, found.why)

    def rewind(self, stamp_ns: int) -> None:
        """The clouds' time was set back to this stamp."""
        self._poses.rewind(stamp_ns)
        self._extrinsics.rewind()

    def reset(self) -> None:
        """Forget what was derived from clouds."""
        self._poses.reset()

    def _refuse_registered(self, cloud: StampedCloud) -> None:
        if not is_registered(cloud.frame, self._poses.fixed_frame):
            return
        text = in_fixed_frame(cloud.frame)
        if not isinstance(self._extrinsics, FixedExtrinsics):
            raise PoseError("of_registered_cloud", text)
        # Some drivers name the frame wrongly, and who gives the mount may know.
        self._log.warning("registered_cloud", text)

    def _height_and_tilt(self, cloud: StampedCloud, base: str) -> Matrix | None:
        """T_base_lidar (4, 4) where the poses are the LiDAR's; None: unknown, or no base."""
        if not base:
            return None
        try:
            # Worth one wait at most; what comes later is known from the next scan on.
            waits = self._poses.gives_sensor and self._height_said is None
            timeout_s = self._options["pose_timeout"] if waits else 0.0
            mount = self._extrinsics.look_up(base, cloud.frame, cloud.stamp_ns, timeout_s)
        except ExtrinsicError as error:
            return self._mount_from_ground(cloud, str(error))
        if mount is None:
            self._log.warning(
                "cloud_in_base",
                f"the clouds are in the base frame, {base}, but the model needs them as seen "
                "from the LiDAR: publish them in its frame, or set the parameter base_to_lidar",
            )
        return mount

    def _on_ground(self, cloud: StampedCloud, mount: Matrix | None, base: str) -> Matrix | None:
        """The mount (4, 4) with the base frame moved down to the ground, where it is far above.

        Ground that is seen is never higher than the true one, so the other error is not told.
        """
        if mount is None:
            return None
        height = self._ground.observe(cloud.points, mount[:3, :3])
        if height is None or height <= mount[2, 3] + _HIGH_M:
            return mount
        if not self._base_said:
            self._base_said = True
            self._log.warning(
                "base_above_ground",
                f"the frame {base} is {height - mount[2, 3]:.2f} m above the ground, as the points "
                f"show: the LiDAR is taken to be {height:.2f} m above it, not {mount[2, 3]:.2f} m",
            )
        on_ground = mount.copy()
        on_ground[2, 3] = height
        return on_ground

    def _mount_from_ground(self, cloud: StampedCloud, why: str) -> Matrix | None:
        """T_base_lidar (4, 4) of a level LiDAR above the ground it sees; None: it sees none."""
        height = self._ground.observe(cloud.points)
        if height is None:
            taken = "at the height that the model was made for"
        else:
            taken = f"{height:.2f} m above the ground, as its points show"
        if self._height_said != (height is not None):
            self._height_said = height is not None
            self._log.warning(
                "height_from_ground" if height is not None else "height_unknown",
                "the poses are those of the LiDAR, whose height above the ground is unknown: "
                f"{why}; taken as level, {taken}",
            )
        return None if height is None else make_transform(np.eye(3), [0.0, 0.0, height])
