"""Runs what the node runs, scan by scan, over a recorded drive and without ROS."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import ReasonedError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.cloud_pipeline import Pipeline, Segments
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.poses.recorded_poses import RecordedPoses
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog

# The node's defaults; the bag has all odometry there will be, so there is nothing to wait for.
_OPTIONS = {"pose_timeout": 0.0, **CLOUD_OPTIONS}
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


def replay(
    bag: BagReader,
    segmenter: Segments,
    limit: int | None = None,
    start: int = 0,
    poses: PoseSource | None = None,
) -> Iterator[ReplayedScan]:
    """Label the clouds of a bag in order, each from itself and earlier ones only.

    Args:
        segmenter: is reset first and gets the bag's mount.
        limit: stop after so many clouds.
        start: label from this cloud on. Earlier ones pass all checks, and the last of them the
            segmenter, so that the labels are those of a whole run.
        poses: where poses come from; None: the bag's odometry, no further than each scan.
    """
    log = ThrottledLog(logging.getLogger(__name__))
    poses = poses or RecordedPoses(bag.odometry, bag.base_frame)
    gate = _Gate(segmenter)
    options = {**_OPTIONS, **bag.cloud_options}
    mount = FixedExtrinsics(bag.base_T_sensor)
    pipeline = Pipeline(gate, poses, mount, options, Statistics(), log)
    pipeline.reset()
    for index, (stamp_ns, message, recorded_ns) in enumerate(bag.recorded_clouds()):
        if limit is not None and index >= limit:
            return
        n_points = int(message.height) * int(message.width)
        gate.prepare(index >= start)
        begin = time.perf_counter()
        try:
            result = pipeline.process(message, stamp_ns, bag.sensor_frame)
        except ReasonedError as error:
            log.warning(error.reason, f"scan {index} dropped: {error}")
            yield ReplayedScan(
                index,
                stamp_ns,
                n_points,
                message,
                dropped=error.reason,
                recorded_ns=recorded_ns,
                skipped=index < start,
            )
            continue
        if index < start:
            yield ReplayedScan(
                index, stamp_ns, n_points, message, recorded_ns=recorded_ns, skipped=True
            )
            continue
        timings = {**result.timings_ms, "total": (time.perf_counter() - begin) * 1e3}
        yield ReplayedScan(
            index,
            stamp_ns,
            n_points,
            message,
            result.labels,
            result.moving_probability,
            timings_ms=timings,
            recorded_ns=recorded_ns,
            scan=gate.scan,
        )


class _Gate:
    """Before the segmenter: notes what it is given, and spares it scans whose labels are there.

    Attributes:
        scan: what was pushed since `prepare`, or None.
    """

    def __init__(self, segmenter: Segments) -> None:
        self._segmenter = segmenter
        self._open = True
        self._mount: npt.NDArray[np.float64] | None = None
        self._past: deque[tuple[npt.NDArray[np.float64] | None, Scan]] = deque()
        self.scan: Scan | None = None

    def prepare(self, is_open: bool) -> None:
        """Before each scan: whether it is to be labelled."""
        self.scan = None
        if is_open and not self._open:
            for mount, scan in self._past:
                if mount is not None:
                    self._segmenter.set_mount(mount)
                self._segmenter.push(scan)
            self._past.clear()
            if self._mount is not None:
                self._segmenter.set_mount(self._mount)
        self._open = is_open

    def push(self, scan: Scan) -> Segmentation:
        """Hand the scan on, or keep it while it may matter to those that will be."""
        self.scan = scan
        if self._open:
            return self._segmenter.push(scan)
        self._past.append((self._mount, scan))
        while scan.stamp_ns - self._past[0][1].stamp_ns > _MEMORY_NS:
            self._past.popleft()
        n = len(scan.points)
        return Segmentation(np.zeros(n, np.uint8), np.zeros(n, np.float32), scan.stamp_ns, {})

    def reset(self) -> None:
        """See Segmenter.reset."""
        self._past.clear()
        self._segmenter.reset()

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None:
        """See Segmenter.set_mount."""
        self._mount = base_T_sensor
        if self._open:
            self._segmenter.set_mount(base_T_sensor)
