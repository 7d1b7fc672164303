"""Poses of a replay from the transforms of its bag, as the node takes them from TF."""

from __future__ import annotations

from kdmos_ros.defaults import PARAMETERS
from kdmos_ros.errors import PoseError
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.poses.buffer import FoundPose, PoseBuffer
from kdmos_ros.poses.pose_source import BufferedPoses, StampedCloud

# As in the node's TfSource: after a longer pause a jump cannot be told.
_MAX_PAUSE_S = 2.0
# What the node calls them.
_REASONS = {"too_new": "timeout", "too_old": "extrapolation"}


class RecordedTf(BufferedPoses):
    """A PoseSource: where the LiDAR is in a fixed frame, moving joints included.

    Args:
        base_frame: frame on the ground, to which the mount is looked up.
        fixed_frame: a frame with continuous odometry.
        gives_sensor: false gives the poses of `base_frame`, for a mount that was given.
    """

    kind = "tf"

    def __init__(
        self,
        transforms: BagTransforms,
        base_frame: str,
        fixed_frame: str,
        gives_sensor: bool = True,
    ) -> None:
        max_jump_m = float(PARAMETERS["pose_max_jump"])
        buffer = PoseBuffer(
            float(PARAMETERS["pose_history"]), _MAX_PAUSE_S, max_jump_m, "transform"
        )
        super().__init__(buffer, base_frame, fixed_frame)
        self.gives_sensor = gives_sensor
        self._transforms = transforms
        self._frame = base_frame
        self._cloud_ns: int | None = None

    def observe(self, cloud: StampedCloud) -> None:
        """Note which frame is wanted, and when."""
        self._frame = cloud.frame if self.gives_sensor else self.base_frame
        self._cloud_ns = cloud.stamp_ns

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseSource; all transforms there will be are there."""
        try:
            pose = self._transforms.look_up(self.fixed_frame, self._frame, stamp_ns)
        except PoseError as error:
            reason = _REASONS.get(error.reason, error.reason)
            raise PoseError(reason, f"{error} (--fixed-frame is {self.fixed_frame})") from None
        if stamp_ns == self._cloud_ns:
            self.buffer.add(stamp_ns, pose)  # to notice jumps
        return FoundPose(pose, self.buffer.generation, self.buffer.why)
