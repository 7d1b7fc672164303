"""The way of one cloud message to its labels: checks, decoding, pose, segmenter. Free of ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.pipeline.deskewing import CloudDeskewing
from kdmos_ros.pipeline.frame_watch import FrameWatch
from kdmos_ros.pipeline.localization import DroppedScan, Localizer, Location
from kdmos_ros.pipeline.pending_cloud import PendingCloud
from kdmos_ros.pipeline.recent_scans import RecentScans, moved_to
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.cloud_reader import read_cloud
from kdmos_ros.pointcloud.codec import DecodedCloud
from kdmos_ros.pointcloud.layout import Layout
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.poses.buffer import RESTART_NS
from kdmos_ros.poses.extrinsics import Extrinsics
from kdmos_ros.poses.pose_source import PoseSource, StampedCloud
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog

# After a longer silence the history is useless: objects and sensor may have changed at will.
_SILENCE_NS = 5_000_000_000
_MOSTLY_SATURATED = 0.5


class CloudPipeline:
    """Labels cloud messages one after the other. `process` belongs to one thread.

    Who takes the labels tells `health` of them, in the order of the clouds.

    Args:
        segmenter: gets the scans that pass all checks.
        poses: where poses come from.
        extrinsics: mount of the LiDAR on the base.
        options: current values of pose_timeout and of those in `defaults.CLOUD_OPTIONS`.
        statistics: gets events (resets, odd clouds); scans are counted by the caller.
        log: gets what the user should know of them.
        health: is told of empty clouds and cleared histories; None: its own.
    """

    def __init__(
        self,
        segmenter: ScanSegmenter,
        poses: PoseSource,
        extrinsics: Extrinsics,
        options: Mapping[str, Any],
        statistics: Statistics,
        log: ThrottledLog,
        health: HealthMonitor | None = None,
    ) -> None:
        self.health = health or HealthMonitor()
        self._segmenter = segmenter
        self._localizer = Localizer(poses, extrinsics, options, log)
        self._deskewing = CloudDeskewing(poses, options, statistics, log)
        self._options = options
        self._statistics = statistics
        self._log = log
        self._last_stamp: int | None = None
        # Whether those in the history are.
        self._deskewed: bool | None = None
        self._generation: int | None = None
        # The last one that was known.
        self._base_T_lidar: npt.NDArray[np.float64] | None = None
        self._recent = RecentScans()
        self._frames = FrameWatch()
        self._told_row_step = False
        self._reset_wanted = threading.Event()
        self._epoch = 0
        # Held while a scan is in work: the segmenter changes between scans only.
        self._busy = threading.Lock()

    def figures(self) -> dict[str, object]:
        """Values for diagnostics."""
        return {"deskew": self._deskewing.state}

    def request_reset(self) -> None:
        """Forget all history before the next scan. May be called from any thread."""
        self._reset_wanted.set()

    def reset(self) -> None:
        """Forget all history now; not while `process` runs."""
        self._reset_wanted.clear()
        self._epoch += 1
        self._segmenter.reset()
        self._recent.clear()
        self._last_stamp = None
        self._deskewed = None
        self._generation = None

    def flush(self) -> None:
        """Label the scans that wait for later ones, from what there is."""
        with self._busy:
            self._segmenter.flush()

    def replace(self, segmenter: ScanSegmenter) -> None:
        """Go on with another segmenter, from an empty history. Waits for the scan in work."""
        with self._busy:
            self._segmenter.flush()
            self._segmenter = segmenter
            self._forget("another model or lookahead takes over")

    def process(self, message: Any, stamp_ns: int, frame: str) -> PendingCloud:
        """Label a PointCloud2 message; blocks while its pose may still come.

        Raises:
            DroppedScan, CloudError, ExtrinsicError: the scan is lost, with the reason.
        """
        with self._busy:
            return self._process(message, stamp_ns, frame)

    def _process(self, message: Any, stamp_ns: int, frame: str) -> PendingCloud:
        timings: dict[str, float] = {}
        if self._reset_wanted.is_set():
            self._localizer.reset()
            self._forget("on request")
        self._frames.check(frame, stamp_ns, self._options["cloud_frame"])
        self._check_order(stamp_ns)

        start = time.perf_counter()
        cloud = read_cloud(message, stamp_ns, self._options)
        timings["decode"] = (time.perf_counter() - start) * 1e3
        self._check_row_step(cloud.layout)
        if not self._has_returns(cloud.cloud):
            nothing: Future[Segmentation] = Future()
            nothing.set_result(Segmentation.unlabelled(len(cloud.cloud.points), stamp_ns))
            self.health.observe_nothing(stamp_ns)
            return PendingCloud(message, cloud.layout, timings, nothing)

        start = time.perf_counter()
        points = cloud.cloud.points
        times = self._deskewing.times(cloud, stamp_ns)
        seconds = self._deskewing.for_registration(times)
        location = self._locate(StampedCloud(stamp_ns, frame, points, seconds))
        timings["pose"] = (time.perf_counter() - start) * 1e3
        scan = Scan(points, cloud.cloud.intensity, stamp_ns, location.pose, self._base_T_lidar)
        if times is None:
            self._check_deskewed(False)
        else:
            start = time.perf_counter()
            scan = self._deskew(scan, times, location)
            timings["deskew"] = (time.perf_counter() - start) * 1e3
        labels = self._segmenter.push(scan)
        self._last_stamp = stamp_ns
        return PendingCloud(message, cloud.layout, timings, labels, scan, self._epoch)

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
            self._localizer.rewind(stamp_ns)
            self._forget(f"the clouds' time went back by {-step_s:.1f} s")
        else:
            raise DroppedScan(
                "out_of_order", f"cloud is {-step_s * 1e3:.1f} ms older than the last"
            )

    def _check_row_step(self, layout: Layout) -> None:
        if layout.odd_row_step is None:
            return
        if not self._told_row_step:
            self._log.warning(
                "odd_row_step",
                f"row_step is {layout.odd_row_step}, not the {layout.row_step} bytes of a row: "
                "read as rows without a gap, which is what the length of the data says",
            )
        self._told_row_step = True
        self._statistics.event("odd_row_step")

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
        # Most often some of the points say it already.
        if not any(np.isfinite(part).all(axis=1).any() for part in _some_and_all(cloud.points)):
            self._statistics.event("no_finite_point")
            self._log.warning(
                "no_finite_point", "cloud has no finite point; published with all labels 0"
            )
            return False
        return True

    def _locate(self, cloud: StampedCloud) -> Location:
        """Where the LiDAR was; clears the history if that has no known relation to before."""
        location = self._localizer.locate(cloud)
        if self._generation is not None and location.generation != self._generation:
            self._forget(location.why)
        self._generation = location.generation
        if location.base_T_lidar is not None:
            self._base_T_lidar = location.base_T_lidar
        return location

    def _deskew(self, scan: Scan, times: PointTimes, location: Location) -> Scan:
        """The scan as it is to be labelled; past ones follow where that has changed."""
        changed = self._deskewing.observe(scan.points, times, scan.stamp_ns, location)
        moved = self._deskewing.deskewed(scan.points, times, scan.stamp_ns, location)
        if changed:
            self._push_again(moved is not None)
        self._check_deskewed(moved is not None)
        if self._deskewing.is_settled:
            self._recent.clear()
        else:
            self._recent.add(scan, times, location)
        return scan if moved is None else moved_to(scan, moved)

    def _push_again(self, deskewed: bool) -> None:
        """Replace the history by the same scans, deskewed as clouds are from now on."""
        self._segmenter.reset()
        self._epoch += 1
        self._deskewed = deskewed
        for past in self._recent:
            scan = past.scan
            if past.location.generation != self._generation:
                continue
            points = self._deskewing.deskewed(scan.points, past.times, scan.stamp_ns, past.location)
            if deskewed == (points is not None):
                # Its labels are out already.
                self._segmenter.push(scan if points is None else moved_to(scan, points)).cancel()

    def _check_deskewed(self, deskewed: bool) -> None:
        """Deskewed and distorted scans do not compare: what stands still differs by metres."""
        if self._deskewed is not None and deskewed != self._deskewed:
            generation = self._generation
            self._forget(f"clouds are {'' if deskewed else 'not '}deskewed from now on")
            self._generation = generation
        self._deskewed = deskewed

    def _forget(self, why: str) -> None:
        self.reset()
        self.health.cleared(why)
        self._statistics.event("reset")
        self._log.warning("reset", f"history cleared: {why}")


def _some_and_all(points: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    yield points[:: max(1, len(points) // 1000)]
    yield points
