"""The way of one cloud message to its labels: checks, decoding, pose, segmenter. Free of ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError, ReasonedError
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.cloud_reader import read_cloud
from kdmos_ros.pointcloud.codec import DecodedCloud
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.poses.buffer import RESTART_NS
from kdmos_ros.poses.deskewer import Deskewer
from kdmos_ros.poses.extrinsics import ExtrinsicError, Extrinsics
from kdmos_ros.poses.pose_source import PoseSource, StampedCloud
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.deferred_labels import Promise, Promised
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog

# After a longer silence the history is useless: objects and sensor may have changed at will.
_SILENCE_NS = 5_000_000_000
_MOSTLY_SATURATED = 0.5


class DroppedScan(ReasonedError):
    """A scan that is not labelled, and why."""


class Segments(Protocol):
    """What is used of a Segmenter."""

    def push(self, scan: Scan) -> Segmentation:
        """See Segmenter.push."""

    def reset(self) -> None:
        """See Segmenter.reset."""

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""


@dataclass(frozen=True)
class Labelled:
    """A cloud message and its labels, one a point; see Segmentation.

    Attributes:
        scan: what was labelled, None for a cloud without returns.
        epoch: changes whenever the history is cleared.
        promise: of labels that wait for later scans; until it is done they are zeros.
    """

    message: Any
    labels: npt.NDArray[np.uint8]
    moving_probability: npt.NDArray[np.float32]
    timings_ms: dict[str, float]
    scan: Scan | None = None
    epoch: int = 0
    promise: Promise | None = None


class Pipeline:
    """Labels cloud messages one after the other. `process` belongs to one thread.

    Args:
        segmenter: gets the scans that pass all checks.
        poses: where poses come from.
        extrinsics: mount of the LiDAR on the base.
        options: current values of pose_timeout and of those in `defaults.CLOUD_OPTIONS`.
        statistics: gets events (resets, odd clouds); scans are counted by the caller.
        log: gets what the user should know of them.
    """

    def __init__(
        self,
        segmenter: Segments,
        poses: PoseSource,
        extrinsics: Extrinsics,
        options: Mapping[str, Any],
        statistics: Statistics,
        log: ThrottledLog,
    ) -> None:
        self._segmenter = segmenter
        self._poses = poses
        self._deskewer = Deskewer(poses)
        if options["deskew"]:
            self._deskewer.warm_up()
        self._extrinsics = extrinsics
        self._options = options
        self._statistics = statistics
        self._log = log
        self._last_stamp: int | None = None
        self._generation: int | None = None
        self._mount: npt.NDArray[np.float64] | None = None
        # From the LiDAR to what the poses are of, for the scan in work.
        self._pose_mount: npt.NDArray[np.float64] | None = None
        self._reset_wanted = threading.Event()
        self._epoch = 0
        # Held while a scan is in work: the segmenter changes between scans only.
        self._busy = threading.Lock()

    def request_reset(self) -> None:
        """Forget all history before the next scan. May be called from any thread."""
        self._reset_wanted.set()

    def reset(self) -> None:
        """Forget all history now; not while `process` runs."""
        self._reset_wanted.clear()
        self._epoch += 1
        self._segmenter.reset()
        self._last_stamp = None
        self._generation = None

    def flush(self) -> None:
        """Label the scans that wait for later ones, from what there is."""
        with self._busy:
            self._flush()

    def replace(self, segmenter: Segments) -> None:
        """Go on with another segmenter, from an empty history. Waits for the scan in work."""
        with self._busy:
            self._flush()
            self._segmenter = segmenter
            self._mount = None
            self._forget("another model or lookahead takes over")

    def process(self, message: Any, stamp_ns: int, frame: str) -> Labelled:
        """Label a PointCloud2 message; blocks while its pose may still come.

        Raises:
            DroppedScan, CloudError: the scan is lost, with the reason.
        """
        with self._busy:
            return self._process(message, stamp_ns, frame)

    def _process(self, message: Any, stamp_ns: int, frame: str) -> Labelled:
        timings: dict[str, float] = {}
        if self._reset_wanted.is_set():
            self._poses.reset()
            self._forget("on request")
        self._check_order(stamp_ns)

        start = time.perf_counter()
        cloud, times = read_cloud(message, stamp_ns, self._options)
        timings["decode"] = (time.perf_counter() - start) * 1e3
        if not self._has_returns(cloud):
            n = len(cloud.points)
            return Labelled(message, np.zeros(n, np.uint8), np.zeros(n, np.float32), timings)

        start = time.perf_counter()
        seconds = times.seconds if times is not None else None
        pose = self._pose(StampedCloud(stamp_ns, frame, cloud.points, seconds))
        timings["pose"] = (time.perf_counter() - start) * 1e3
        points = cloud.points
        if times is not None:
            start = time.perf_counter()
            points = self._deskewed(points, times, stamp_ns)
            timings["deskew"] = (time.perf_counter() - start) * 1e3
        scan = Scan(points, cloud.intensity, stamp_ns, pose)
        result = self._segmenter.push(scan)
        self._last_stamp = stamp_ns
        timings.update(result.timings_ms)
        promise = result if isinstance(result, Promise) else None
        return Labelled(
            message, result.labels, result.moving_probability, timings, scan, self._epoch, promise
        )

    def _flush(self) -> None:
        if isinstance(self._segmenter, Promised):
            self._segmenter.flush()

    def _check_order(self, stamp_ns: int) -> None:
        last = self._last_stamp
        if last is None or last < stamp_ns <= last + _SILENCE_NS:
            return
        if stamp_ns == last:
            raise DroppedScan("repeated_stamp", f"cloud has the same stamp as the last, {last} ns")
        step_s = (stamp_ns - last) * 1e-9
        if stamp_ns > last:
            self._forget(f"no cloud was labelled for {step_s:.1f} s")
        elif last - stamp_ns > RESTART_NS:
            self._poses.rewind(stamp_ns)
            self._extrinsics.rewind()
            self._forget(f"the clouds' time went back by {-step_s:.1f} s")
        else:
            raise DroppedScan(
                "out_of_order", f"cloud is {-step_s * 1e3:.1f} ms older than the last"
            )

    def _has_returns(self, cloud: DecodedCloud) -> bool:
        """Whether there is anything to label; says so if something looks wrong."""
        if cloud.saturated > _MOSTLY_SATURATED:
            self._statistics.event("intensity_saturated")
            self._log.warning(
                "intensity_saturated",
                f"{cloud.saturated:.0%} of the intensities are above the full scale: "
                "set the parameter intensity_scale (255 for most sensors)",
            )
        if not len(cloud.points):
            self._statistics.event("empty_cloud")
            self._log.warning("empty_cloud", "cloud has no points; published empty")
            return False
        x, y, z = cloud.points.T
        if not (np.isfinite(x) & np.isfinite(y) & np.isfinite(z)).any():
            self._statistics.event("no_finite_point")
            self._log.warning(
                "no_finite_point", "cloud has no finite point; published with all labels 0"
            )
            return False
        return True

    def _pose(self, cloud: StampedCloud) -> npt.NDArray[np.float64]:
        """T_odom_lidar (4, 4) at the stamp; sets the mount on the way."""
        poses, timeout_s = self._poses, self._options["pose_timeout"]
        try:
            poses.observe(cloud)
            pose, generation = poses.wait(cloud.stamp_ns, timeout_s)
        except PoseError as error:
            reason = f"{poses.kind}_{error.reason}"
            raise DroppedScan(reason, f"no pose for the cloud: {error}") from None
        mount = self._extrinsics.look_up(poses.base_frame, cloud.frame, cloud.stamp_ns, timeout_s)
        if self._generation is not None and generation != self._generation:
            self._forget(poses.why)
        self._generation = generation
        self._pose_mount = None if poses.gives_sensor else mount
        if mount is None:
            mount = self._height_and_tilt(cloud)
        if mount is not None and (self._mount is None or not np.array_equal(mount, self._mount)):
            self._segmenter.set_mount(mount)
            self._mount = mount
        return pose if self._pose_mount is None else pose @ self._pose_mount

    def _height_and_tilt(self, cloud: StampedCloud) -> npt.NDArray[np.float64] | None:
        """T_base_lidar (4, 4) where the poses are the LiDAR's own; None: unknown, or no base."""
        base = self._options.get("base_frame", "")
        if base == cloud.frame:
            self._log.warning(
                "cloud_in_base",
                f"the clouds are in the base frame, {base}: history and ground are seen from the "
                "LiDAR, so give its cloud in its own frame, or the parameter base_to_lidar",
            )
        if base in ("", cloud.frame):
            return None
        try:
            # Not worth a wait: it is known from the next scan on.
            return self._extrinsics.look_up(base, cloud.frame, cloud.stamp_ns, 0.0)
        except ExtrinsicError as error:
            self._log.warning(
                "height_unknown",
                "the odometry is that of the LiDAR, whose height above the ground is unknown: "
                f"{error}; taken as level, at the height that the model was made for",
            )
            return None

    def _deskewed(
        self, points: npt.NDArray[np.float32], times: PointTimes, stamp_ns: int
    ) -> npt.NDArray[np.float32]:
        """Points (N, 3) as the LiDAR would have seen them at the stamp; after `_pose`."""
        poses, timeout_s = self._poses, self._options["pose_timeout"]
        try:
            return self._deskewer.deskew(points, times, stamp_ns, self._pose_mount, timeout_s)
        except PoseError as error:
            raise DroppedScan(f"{poses.kind}_{error.reason}", str(error)) from None

    def _forget(self, why: str) -> None:
        self.reset()
        self._statistics.event("reset")
        self._log.warning("reset", f"history cleared: {why}")
