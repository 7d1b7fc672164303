"""Poses from TF: where the LiDAR is in a fixed frame, at each cloud's stamp."""

from __future__ import annotations

import threading
import time

from kdmos_ros.defaults import FIXED_FRAMES
from kdmos_ros.errors import PoseError
from kdmos_ros.poses.buffer import FoundPose, PoseBuffer
from kdmos_ros.poses.pose_messages import place_of
from kdmos_ros.poses.pose_source import BufferedPoses, Matrix, StampedCloud
from kdmos_ros.ros.tf_listener import TfListener
from kdmos_ros.throttled_log import ThrottledLog

_POLL_S = 0.01


class TfSource(BufferedPoses):
    """A PoseSource that asks tf2 for `fixed_frame` -> the cloud's frame at the stamp.

    The whole chain counts, moving joints between base and LiDAR included.

    Args:
        tf: listens to TF; it may serve others too.
        buffer: of its own, in which the poses of the clouds are watched for jumps.
        base_frame: frame on the ground, to which the mount is looked up.
        fixed_frame: a frame with continuous odometry.
        gives_sensor: false asks for `base_frame`, for a LiDAR whose frame TF does not know.

    Attributes:
        timeouts: clouds for which no transform came in time.
    """

    kind = "tf"
    # A jump is told from the poses of successive clouds; after a longer pause it cannot be.
    max_pause_s: float = 2.0

    def __init__(
        self,
        tf: TfListener,
        buffer: PoseBuffer,
        base_frame: str,
        fixed_frame: str,
        log: ThrottledLog,
        gives_sensor: bool = True,
    ) -> None:
        super().__init__(buffer, base_frame, fixed_frame)
        self._tf2 = tf.tf2
        self._tf = tf.buffer
        self._listener = tf
        self.gives_sensor = gives_sensor
        self._frame = base_frame
        self._cloud_ns: int | None = None
        self._log = log
        self._stopped = threading.Event()
        self.timeouts = 0

    def observe(self, cloud: StampedCloud) -> None:
        """Note which frame is wanted, and when."""
        frame = cloud.frame if self.gives_sensor else self.base_frame
        if frame != self._frame:
            if len(self.buffer):
                self.buffer.clear(f"the clouds' frame is now {frame}")
            self._frame = frame
        self._cloud_ns = cloud.stamp_ns

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseSource.

        Raises:
            PoseError: `timeout` (it may still come), `extrapolation` (too old for TF),
                `unknown_frame`, `not_connected`, `no_stamp` or `failed`; with "tf_" before it in
                the counts.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                pose = self._look_up(stamp_ns)
                break
            except PoseError as error:
                # Frames appear as their publishers start: also worth a wait.
                final = error.reason in ("extrapolation", "no_stamp", "failed")
                if final or time.monotonic() >= deadline or self._stopped.wait(_POLL_S):
                    self.timeouts += error.reason == "timeout" and stamp_ns == self._cloud_ns
                    raise PoseError(error.reason, f"{error}{self._remedy(error.reason)}") from None
        if stamp_ns == self._cloud_ns:
            notice = self.buffer.add(stamp_ns, pose)
            if notice:
                self._log.warning("tf", notice)
        return FoundPose(pose, self.buffer.generation, self.buffer.why)

    def rewind(self, stamp_ns: int) -> None:
        """Forget the transforms of the time after it; static ones stay."""
        # As tf2's own listeners do; what arrived of the new time already comes again.
        self._tf.clear()
        self.buffer.clear("time was set back")

    def interrupt(self) -> None:
        """See PoseSource."""
        self._stopped.set()

    def resume(self) -> None:
        """See PoseSource."""
        self._stopped.clear()

    def figures(self) -> dict[str, int]:
        """Counters for diagnostics."""
        counts = self.buffer.figures()
        names = ("gaps", "jumps", "restarts")
        return {
            "tf.found": counts["added"],
            "tf.timeouts": self.timeouts,
            **{f"tf.{name}": counts[name] for name in names},
        }

    def close(self) -> None:
        """Nothing to do: the listener's owner closes it."""

    def _remedy(self, reason: str) -> str:
        """Where TF knows another fixed frame than the one asked for."""
        if reason not in ("unknown_frame", "not_connected"):
            return ""
        others = (f for f in FIXED_FRAMES if self._listener.moves(f, self._frame))
        other = next(others, "")
        return f"; TF moves it in {other}: set the parameter fixed_frame to it" if other else ""

    def _look_up(self, stamp_ns: int) -> Matrix:
        tf2, fixed, frame = self._tf2, self.fixed_frame, self._frame
        what = f"transform {fixed} -> {frame}"
        if stamp_ns == 0:  # to tf2, this means the newest of all
            raise PoseError("no_stamp", f"the cloud's stamp is 0: no {what} can be asked for")
        try:
            found = self._listener.look_up(fixed, frame, stamp_ns)
            return place_of(found)
        except tf2.ExtrapolationException as error:
            reason = "timeout" if self._may_come(stamp_ns) else "extrapolation"
            text = f"{what} is not known at the cloud's stamp: {error}"
        except tf2.ConnectivityException as error:
            reason, text = "not_connected", f"no {what}: {error}"
        except tf2.LookupException as error:
            reason, text = "unknown_frame", f"no {what}: {error}"
        except (tf2.TransformException, ValueError) as error:
            reason, text = "failed", f"no {what}: {error}"
        raise PoseError(reason, " ".join(text.split()))

    def _may_come(self, stamp_ns: int) -> bool:
        """Whether the stamp is newer than all that TF has of the chain."""
        try:
            newest = self._tf.get_latest_common_time(self.fixed_frame, self._frame)
        except self._tf2.TransformException:
            return True
        return stamp_ns > newest.nanoseconds
