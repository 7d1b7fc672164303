"""Runs what the node runs, scan by scan, over a recorded drive and without ROS."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import CLOUD_OPTIONS, PARAMETERS
from kdmos_ros.errors import ReasonedError
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import Localizer
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.layout import Layout
from kdmos_ros.poses.pose_messages import frame_of
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.poses.recorded_poses import RecordedPoses
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter, finished
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog

# The node's defaults; the bag has all odometry there will be, so there is nothing to wait for.
_OPTIONS = {"pose_timeout": 0.0, "base_frame": PARAMETERS["base_frame"], **CLOUD_OPTIONS}
# No model looks back further; see ScanHistory.
_MEMORY_NS = 5_000_000_000


@dataclass(frozen=True)
class ReplayedScan:
    """One scan of the drive and what became of it.

    Attributes:
        index: position of the cloud in the bag, from 0, dropped ones included.
        stamp_ns: its stamp.
        n_points: points of the cloud (height * width).
        message: the PointCloud2.
        labels, moving_probability: (N,) uint8 and (N,) float32, or None if it was dropped.
        dropped: why, as the node counts it; empty if it was not.
        timings_ms: milliseconds by stage, as the node's, and `total`.
        recorded_ns: when the cloud was recorded.
        scan: what the segmenter was given; None if dropped or without returns.
        skipped: it lies before the start; there are no labels, though it would have had some.
        layout: of the message; None if it was dropped.
    """

    index: int
    stamp_ns: int
    n_points: int
    message: Any = None
    labels: npt.NDArray[np.uint8] | None = None
    moving_probability: npt.NDArray[np.float32] | None = None
    dropped: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    recorded_ns: int = 0
    scan: Scan | None = None
    skipped: bool = False
    layout: Layout | None = None


def replay(
    bag: BagReader,
    segmenter: ScanSegmenter,
    limit: int | None = None,
    start: int = 0,
    poses: PoseSource | None = None,
    health: HealthMonitor | None = None,
) -> Iterator[ReplayedScan]:
    """Label the clouds of a bag in order, as the node would.

    Args:
        segmenter: is reset first.
        limit: stop after so many clouds.
        start: label from this cloud on. Earlier ones pass all checks, and the last of them the
            segmenter, so that the labels are those of a whole run.
        poses: where poses come from; None: the bag's odometry, no further than each scan.
        health: is told of what is labelled; ask it afterwards what was wrong.
    """
    gate, health = _Gate(segmenter), health or HealthMonitor()
    pushed = _pushed(bag, gate, limit, start, poses, health)
    for scan, result in finished(pushed, gate):
        if result is not None and not scan.skipped:
            if scan.scan is not None:
                health.observe(scan.scan, result.labels)
            scan = replace(
                scan,
                labels=result.labels,
                moving_probability=result.moving_probability,
                timings_ms={**scan.timings_ms, **result.timings_ms},
            )
        yield scan


def _pushed(
    bag: BagReader,
    gate: _Gate,
    limit: int | None,
    start: int,
    poses: PoseSource | None,
    health: HealthMonitor,
) -> Iterator[tuple[ReplayedScan, Future[Segmentation] | None]]:
    """The clouds of a bag as they are pushed, without their labels."""
    log = ThrottledLog(logging.getLogger(__name__))
    poses = poses or _recorded(bag)
    options = {**_OPTIONS, **bag.cloud_options, "cloud_frame": bag.sensor_frame}
    pipeline = CloudPipeline(gate, poses, bag.extrinsics, options, Statistics(), log, health)
    pipeline.reset()
    for index, (stamp_ns, message, recorded_ns) in enumerate(bag.recorded_clouds()):
        if limit is not None and index >= limit:
            return
        gate.prepare(index >= start)
        scan = ReplayedScan(
            index,
            stamp_ns,
            int(message.height) * int(message.width),
            message,
            recorded_ns=recorded_ns,
            skipped=index < start,
        )
        begin = time.perf_counter()
        try:
            cloud = pipeline.process(message, stamp_ns, frame_of(message.header.frame_id))
        except ReasonedError as error:
            log.warning(error.reason, f"scan {index} dropped: {error}")
            yield replace(scan, dropped=error.reason), None
            continue
        total = (time.perf_counter() - begin) * 1e3
        scan = replace(
            scan,
            timings_ms={**cloud.timings_ms, "total": total},
            scan=cloud.scan if index >= start else None,
            layout=cloud.layout,
        )
        yield scan, cloud.segmentation


def bag_localizer(bag: BagReader, poses: PoseSource | None = None) -> Localizer:
    """Tells where the LiDAR of a bag was, as `replay` finds it out."""
    log = ThrottledLog(logging.getLogger(__name__))
    return Localizer(poses or _recorded(bag), bag.extrinsics, _OPTIONS, log)


def _recorded(bag: BagReader) -> PoseSource:
    return RecordedPoses(bag.odometry, bag.base_frame, bag.odom_frame)


class _Gate:
    """A ScanSegmenter before another one, which it spares scans whose labels are there already."""

    def __init__(self, segmenter: ScanSegmenter) -> None:
        self._segmenter = segmenter
        self._open = True
        self._past: deque[Scan] = deque()

    def prepare(self, is_open: bool) -> None:
        """Before each scan: whether it is to be labelled."""
        if is_open and not self._open:
            for scan in self._past:
                self._segmenter.push(scan)
            self._past.clear()
        self._open = is_open

    def push(self, scan: Scan) -> Future[Segmentation]:
        """Hand the scan on, or keep it while it may matter to those that will be."""
        if self._open:
            return self._segmenter.push(scan)
        self._past.append(scan)
        while scan.stamp_ns - self._past[0].stamp_ns > _MEMORY_NS:
            self._past.popleft()
        nothing: Future[Segmentation] = Future()
        nothing.set_result(Segmentation.unlabelled(len(scan.points), scan.stamp_ns))
        return nothing

    def flush(self) -> None:
        """See ScanSegmenter."""
        self._segmenter.flush()

    def reset(self) -> None:
        """See ScanSegmenter."""
        self._past.clear()
        self._segmenter.reset()
