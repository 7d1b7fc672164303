"""Poses from the clouds themselves, by KISS-ICP (Vizzo et al., RA-L 2023), where a robot has none.

The library registers each cloud on the thread that labels, so that callbacks never wait. Its map
is bounded by its range, the poses by the buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError, PoseError
from kdmos_ros.geometry.transforms import interpolate, invert
from kdmos_ros.poses.buffer import RESTART_NS, FoundPose, PoseBuffer
from kdmos_ros.poses.pose_source import BufferedPoses, Matrix, StampedCloud
from kdmos_ros.throttled_log import ThrottledLog

_RANGE_M = 1.5, 100.0  # nearer is the robot itself
_FEWEST_POINTS = 200
_SHORTEST_SWEEP_S = 1e-4
_ROUNDING_NS = 5_000  # of times in float32


def load_kiss_icp(num_threads: int = 0) -> Callable[[], Any]:
    """A function that makes an empty odometry.

    Raises:
        KdmosError: the library is not installed, or does not fit.
    """
    try:
        from kiss_icp.config.parser import load_config
        from kiss_icp.kiss_icp import KissICP
    except ImportError as error:
        raise KdmosError(
            f"pose source kiss_icp needs the Python library kiss-icp ({error}): "
            "pip install kiss-icp"
        ) from error

    def make() -> Any:
        config = load_config(None)
        config.data.max_range = _RANGE_M[1]
        config.registration.max_num_threads = num_threads
        return KissICP(config)

    return make


class KissSource(BufferedPoses):
    """A PoseSource that registers each cloud to those before; its fixed frame begins anywhere.

    Clouds with a time for each point are registered as of the end of their sweep; the pose at the
    stamp lies between two of these, so that the very first cloud has none.

    Args:
        buffer: of its own, to interpolate in and to notice jumps.
        base_frame: frame on the ground, to which the mount is looked up.
        make: see load_kiss_icp.

    Attributes:
        failed, restarts: clouds without a pose, and how often it began anew.
    """

    kind = "kiss"
    gives_sensor = True
    # The next cloud is looked for where the last speed leads: longer after, that is anywhere.
    max_pause_s: float = 2.0

    def __init__(
        self, buffer: PoseBuffer, base_frame: str, make: Callable[[], Any], log: ThrottledLog
    ) -> None:
        super().__init__(buffer, base_frame)
        self._make = make
        self._log = log
        self._odometry: Any
        self._motion: Matrix
        self._step_ns: int
        self._last_ns: int | None
        self._oldest_ns: int | None
        self._newest_ns: int | None
        self._begin()
        self.failed = self.restarts = 0

    def observe(self, cloud: StampedCloud) -> None:
        """Register the cloud; takes some 50 ms.

        Raises:
            PoseError: `out_of_order`, `too_few_points` or `failed`.
        """
        if cloud.stamp_ns == self._last_ns:
            return
        points, seconds, end_ns = _usable(cloud)
        if len(points) < _FEWEST_POINTS:
            self.failed += 1
            raise PoseError("too_few_points", f"KISS-ICP cannot register {len(points)} points")
        if self._last_ns is not None:
            self._check_step(cloud.stamp_ns - self._last_ns)
        jumps = self.buffer.jumps
        why = self._add(cloud.stamp_ns, end_ns, points, seconds)
        if self.buffer.jumps > jumps:
            # It lost its way, and this cloud went into its map at the wrong place.
            self._restart(why)
            self._add(cloud.stamp_ns, end_ns, points, seconds)

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """As PoseBuffer.wait, at once: nothing comes that is not there after `observe`."""
        for known_ns in (self._newest_ns, self._oldest_ns):
            if known_ns is not None and abs(stamp_ns - known_ns) <= _ROUNDING_NS:
                stamp_ns = known_ns
        return self.buffer.wait(stamp_ns, 0.0)

    def rewind(self, stamp_ns: int) -> None:
        """Start again from nothing."""
        self._restart("time was set back")

    def reset(self) -> None:
        """Start again from nothing."""
        self._restart("the LiDAR odometry was reset")

    def figures(self) -> dict[str, int]:
        """Counters for diagnostics."""
        counts = {"registered": self.buffer.added, "jumps": self.buffer.jumps}
        counts.update(failed=self.failed, restarts=self.restarts)
        return {f"kiss_icp.{name}": count for name, count in counts.items()}

    def _check_step(self, step_ns: int) -> None:
        if -RESTART_NS <= step_ns < 0:
            self.failed += 1
            raise PoseError("out_of_order", f"cloud is {-step_ns * 1e-6:.1f} ms before the last")
        if step_ns < 0:
            self._restart(f"the clouds' time went back by {-step_ns * 1e-9:.1f} s")
        elif step_ns > self.max_pause_s * 1e9:
            self._restart(f"no cloud was registered for {step_ns * 1e-9:.1f} s")

    def _add(
        self,
        stamp_ns: int,
        end_ns: int,
        points: Matrix,
        seconds: npt.NDArray[np.float64] | None,
    ) -> str:
        """Register a cloud and buffer its pose; see PoseBuffer.add."""
        try:
            self._register(stamp_ns, points, seconds)
            pose = np.array(self._odometry.last_pose, dtype=np.float64)
            self._newest_ns = stamp_ns + end_ns
            if self._oldest_ns is None:
                self._oldest_ns = self._newest_ns
            return self.buffer.add(self._newest_ns, pose)
        except Exception as error:  # whatever the library raises: the next cloud gets its turn
            self.failed += 1
            self._restart(f"it failed: {error}")
            raise PoseError("failed", f"KISS-ICP failed: {error}") from error

    def _register(
        self, stamp_ns: int, points: Matrix, seconds: npt.NDArray[np.float64] | None
    ) -> None:
        # The library takes clouds to follow each other without a pause, a sweep being as long as
        # the step. Its state is set such that lost clouds do no harm.
        odometry, unmoved = self._odometry, np.eye(4)
        last_pose = np.array(odometry.last_pose)
        step_ns = stamp_ns - self._last_ns if self._last_ns is not None else 0
        if self._step_ns:
            sweep_ns = step_ns if seconds is None else float(np.ptp(seconds)) * 1e9
            expected = interpolate(unmoved, self._motion, step_ns / self._step_ns)
            odometry.last_delta = interpolate(unmoved, self._motion, sweep_ns / self._step_ns)
            odometry.last_pose = last_pose @ expected @ invert(odometry.last_delta)
        odometry.register_frame(points, np.empty(0) if seconds is None else seconds)
        if step_ns:
            self._motion = invert(last_pose) @ odometry.last_pose
        self._last_ns, self._step_ns = stamp_ns, step_ns

    def _restart(self, why: str) -> None:
        if self._last_ns is not None:
            self.restarts += 1
            self._log.warning("kiss_icp", f"KISS-ICP restarts: {why}")
        self._begin()
        self.buffer.clear(why)

    def _begin(self) -> None:
        self._odometry = self._make()
        self._motion = np.eye(4)  # of the sensor over the last step
        self._step_ns = 0
        self._last_ns = None
        # Of the poses since then; poses are of the sweeps' ends.
        self._oldest_ns = None
        self._newest_ns = None


def _usable(cloud: StampedCloud) -> tuple[Matrix, npt.NDArray[np.float64] | None, int]:
    """Points (M, 3) float64 to register; their times if of use for deskewing; the sweep's end, ns
    after the stamp."""
    points = cloud.points.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.linalg.norm(points, axis=1)
        usable = (distance >= _RANGE_M[0]) & (distance < np.inf)  # NaN is neither
    if cloud.seconds is None:
        return points[usable], None, 0
    # The library ends the process on times that are not finite, too few or all the same.
    seconds = cloud.seconds.astype(np.float64)
    usable &= np.isfinite(seconds)
    known = seconds[(distance > 0) & (distance < np.inf) & np.isfinite(seconds)]
    points, seconds = points[usable], seconds[usable]
    if not len(seconds) or np.ptp(seconds) < _SHORTEST_SWEEP_S:
        return points, None, 0
    return points, seconds, round(max(0.0, float(known.max())) * 1e9)
