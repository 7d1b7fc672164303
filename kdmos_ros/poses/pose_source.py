"""Where poses come from: what the pipeline asks of an odometry, TF or LiDAR odometry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import FIXED_FRAMES
from kdmos_ros.poses.buffer import FoundPose, PoseBuffer

Matrix = npt.NDArray[np.float64]


class StampedCloud(NamedTuple):
    """A decoded cloud.

    Attributes:
        stamp_ns, frame: of its header.
        points: (N, 3) float32, metres, in the sensor frame, as measured.
        seconds: (N,) float32 time of each point after the stamp, or None.
    """

    stamp_ns: int
    frame: str
    points: npt.NDArray[np.float32]
    seconds: npt.NDArray[np.float32] | None = None


def is_registered(cloud_frame: str, fixed_frame: str) -> bool:
    """Whether clouds in this frame no longer tell where the LiDAR was."""
    return bool(cloud_frame) and cloud_frame in (fixed_frame, *FIXED_FRAMES)


def in_fixed_frame(frame: str) -> str:
    """What to tell a user whose clouds are registered already."""
    return (
        f"the clouds are in a fixed frame, {frame}: they are registered already, so where the "
        "LiDAR was is lost; give the cloud topic in the LiDAR's own frame (FAST-LIO: "
        "/cloud_registered_body, not /cloud_registered), or the mount if only the name is wrong"
    )


class PoseSource(Protocol):
    """Gives poses in a fixed frame by stamp; those of two generations have no known relation."""

    @property
    def kind(self) -> str:
        """Beginning of the names of its reasons to drop a scan."""

    @property
    def base_frame(self) -> str:
        """Frame on the ground below the robot, to which the LiDAR's mount is looked up."""

    @property
    def fixed_frame(self) -> str:
        """Frame that the poses are in; empty: it has no name."""

    @property
    def gives_sensor(self) -> bool:
        """Whether its poses are those of the LiDAR, else those of `base_frame`."""

    def limit(self, max_seconds: float, max_gap_s: float, max_jump_m: float) -> None:
        """Change the limits of the poses, see PoseBuffer; at any time, for poses from then on.

        What has a longest pause of its own ignores `max_gap_s`.
        """

    def observe(self, cloud: StampedCloud) -> None:
        """See a cloud before its pose is asked for; each cloud once, in the order of stamps.

        Raises:
            PoseError: there will be no pose for it.
        """

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """The pose at a stamp; see PoseBuffer.wait.

        Raises:
            PoseError: there is none.
        """

    def rewind(self, stamp_ns: int) -> None:
        """The clouds' time was set back to this stamp; see PoseBuffer.rewind."""

    def reset(self) -> None:
        """Forget what was derived from clouds."""

    def interrupt(self) -> None:
        """Let every `wait` end at once until `resume`."""

    def resume(self) -> None:
        """Undo `interrupt`."""

    def figures(self) -> Mapping[str, object]:
        """Values for diagnostics."""

    def close(self) -> None:
        """Stop listening."""


class BufferedPoses:
    """A PoseSource whose poses, T_odom_base, lie in a buffer that somebody else fills.

    Attributes:
        buffer: the poses.
        max_pause_s: longest gap, where it is not the user's to choose.
    """

    kind = "pose"
    gives_sensor = False
    max_pause_s: float | None = None

    def __init__(self, buffer: PoseBuffer, base_frame: str = "", fixed_frame: str = "") -> None:
        self.buffer = buffer
        self.base_frame = base_frame
        self.fixed_frame = fixed_frame

    def limit(self, max_seconds: float, max_gap_s: float, max_jump_m: float) -> None:
        """See PoseSource."""
        self.buffer.max_seconds = max_seconds
        self.buffer.max_gap_s = self.max_pause_s or max_gap_s
        self.buffer.max_jump_m = max_jump_m

    def observe(self, cloud: StampedCloud) -> None:
        """Nothing to do: the poses come without the clouds."""

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseBuffer.wait."""
        return self.buffer.wait(stamp_ns, timeout_s)

    def rewind(self, stamp_ns: int) -> None:
        """See PoseBuffer.rewind."""
        self.buffer.rewind(stamp_ns)

    def reset(self) -> None:
        """Nothing to do: no pose rests on a cloud."""

    def interrupt(self) -> None:
        """See PoseBuffer.interrupt."""
        self.buffer.interrupt()

    def resume(self) -> None:
        """See PoseBuffer.resume."""
        self.buffer.resume()

    def figures(self) -> dict[str, int]:
        """What happened to the poses; see PoseBuffer."""
        counts = self.buffer.figures().items()
        return {f"{self.buffer.name}.{name}": count for name, count in counts}

    def close(self) -> None:
        """Nothing to do."""
