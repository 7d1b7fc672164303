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

from kdmos_ros.cloud_layout import DEFAULT_MAX_POINTS
from kdmos_ros.errors import ReasonedError
from kdmos_ros.io.bags import BagReader
from kdmos_ros.poses import RESTART_NS, PoseBuffer
from kdmos_ros.ros.extrinsics import FixedExtrinsics
from kdmos_ros.ros.pipeline import Pipeline, Segments
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.throttle import ThrottledLog
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Segmentation

# The node's defaults; the bag has all odometry there will be, so there is nothing to wait for.
_OPTIONS = {
    "pose_timeout": 0.0,
    "intensity_field": "",
    "intensity_scale": 0.0,
    "max_points": DEFAULT_MAX_POINTS,
}
# No model looks back further; see ScanHistory.
_MEMORY_NS = 5_000_000_000
_POSE_HISTORY_S, _POSE_MAX_GAP_S, _POSE_MAX_JUMP_M = 30.0, 0.5, 1.0


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
    bag: BagReader, segmenter: Segments, limit: int | None = None, start: int = 0
) -> Iterator[ReplayedScan]:
    """Label the clouds of a bag in order, each from itself and earlier ones only.

    Args:
        segmenter: is reset first and gets the bag's mount.
        limit: stop after so many clouds.
        start: label from this cloud on. Earlier ones pass all checks, and the last of them the
            segmenter, so that the labels are those of a whole run.
    """
    log = ThrottledLog(logging.getLogger(__name__))
    poses = _PosesSoFar(bag)
    gate = _Gate(segmenter)
    pipeline = Pipeline(
        gate, poses, FixedExtrinsics(bag.base_T_sensor), _OPTIONS, Statistics(), log
    )
    pipeline.reset()
    for index, (stamp_ns, message, recorded_ns) in enumerate(bag.recorded_clouds()):
        if limit is not None and index >= limit:
            return
        n_points = int(message.height) * int(message.width)
        poses.advance(stamp_ns)
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


class _PosesSoFar:
    """The pipeline's source of poses: the odometry up to the scan, as the node would have it."""

    def __init__(self, bag: BagReader) -> None:
        self.base_frame = bag.base_frame
        self._odometry = bag.odometry
        self._next = 0
        self._newest: int | None = None
        self._buffer = PoseBuffer(_POSE_HISTORY_S, _POSE_MAX_GAP_S, _POSE_MAX_JUMP_M)

    def advance(self, stamp_ns: int) -> None:
        """Take poses up to the first one that is not before the stamp."""
        while self._next < len(self._odometry):
            newest = self._newest
            in_this_run = newest is None or stamp_ns >= newest - RESTART_NS
            if newest is not None and in_this_run and newest >= stamp_ns:
                return
            stamp, pose = self._odometry[self._next]
            if newest is not None and in_this_run and stamp < newest - RESTART_NS:
                return  # the odometry started anew, the clouds did not yet
            self._buffer.add(stamp, pose)
            self._newest = stamp if newest is None or not in_this_run else max(newest, stamp)
            self._next += 1

    def wait(self, stamp_ns: int, timeout_s: float) -> tuple[npt.NDArray[np.float64], int]:
        """See PoseBuffer.wait."""
        return self._buffer.wait(stamp_ns, timeout_s)

    def rewind(self, stamp_ns: int) -> None:
        """See PoseBuffer.rewind."""
        self._buffer.rewind(stamp_ns)
