"""Labels a recording whose labels take long: part by part, then all at once to the output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.parts import LabelParts
from kdmos_ros.pipeline.replay import ReplayedScan, replay
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.progress import progress
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation

_REPORT_S = 30.0


@dataclass(frozen=True)
class Judge:
    """Makes parts.

    Attributes:
        bag: the recording.
        segmenter: gives the labels.
        poses: makes a source of poses, or None for the bag's odometry; each run of parts needs one.
        interrupt: when it has a signal, what is not a whole part yet is dropped.
    """

    bag: BagReader
    segmenter: ScanSegmenter
    poses: Callable[[], PoseSource | None]
    interrupt: Interrupt

    def make(self, parts: LabelParts, among: range) -> bool:
        """Make the parts of a range that are not there; False: stopped by a signal."""
        runs = parts.missing(among)
        clouds = sum(len(parts.clouds(part)) for run in runs for part in run)
        scans = (scan for run in runs for scan in self._scans(parts, run))
        eta = _TimeLeft(clouds)
        found: list[Segmentation] = []
        part = None
        for scan in progress(scans, clouds, "label"):
            if self.interrupt.signal:
                return False
            part = parts.part_of(scan.index)
            if scan.labels is not None and scan.moving_probability is not None:
                found.append(Segmentation(scan.labels, scan.moving_probability, scan.stamp_ns, {}))
            if scan.index == parts.clouds(part)[-1]:
                parts.write(part, found)
                part, found = None, []
            eta.count()
        if part is not None:  # the recording ends before it should
            parts.write(part, found)
        return True

    def _scans(self, parts: LabelParts, run: range) -> Iterator[ReplayedScan]:
        first, last = parts.clouds(run[0])[0], parts.clouds(run[-1])[-1]
        for scan in replay(self.bag, self.segmenter, start=first, poses=self.poses()):
            if scan.index >= first:
                yield scan
            if scan.index == last:  # later clouds may be in work: they gave its future
                return


class _TimeLeft:
    """Tells every half minute how long it takes, where there is no progress bar."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._began = self._told = time.monotonic()

    def count(self) -> None:
        """One scan more is done."""
        self._done += 1
        now = time.monotonic()
        if sys.stderr.isatty() or now - self._told < _REPORT_S:
            return
        self._told = now
        rate = self._done / (now - self._began)
        left = (self._total - self._done) / rate
        print(
            f"kdmos: {self._done} of {self._total} scans, {rate:.1f} scans/s, about"
            f" {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
