"""Labels one bag from beginning to end, or from where an earlier run was stopped."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kdmos_ros.errors import KdmosError
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling.bag_sink import BagSink
from kdmos_ros.labelling.bookmark import Bookmark
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.sinks import InBackground, LabelFiles, MapFile, MapStyle, Sink
from kdmos_ros.pipeline.replay import ReplayedScan, replay
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.progress import progress
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter

BAG, WITHOUT_MOVING, LABEL_FILES, MAP = "bag", "without_moving", "label_files", "map"


@dataclass(frozen=True)
class Target:
    """What to write.

    Attributes:
        path: of the output.
        kind: one of BAG, WITHOUT_MOVING, LABEL_FILES, MAP.
        topic: of the labelled clouds, for a BAG.
        map_style: for a MAP.
    """

    path: Path
    kind: str = BAG
    topic: str = "/mos_node/labeled"
    map_style: MapStyle = field(default_factory=MapStyle)


@dataclass
class Outcome:
    """What became of the clouds.

    Attributes:
        total, done, labelled: clouds in the bag; looked at; labelled.
        dropped: clouds that could not be labelled, by reason.
        signal: number of the signal that stopped the run, 0 if it is complete.
        health: what cannot be right with clouds, poses and mount, one line each.
        made, drive_s, work_s: clouds labelled in this run, from the first to the last one of them,
            and how long it took.
    """

    total: int
    done: int = 0
    labelled: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    signal: int = 0
    health: list[str] = field(default_factory=list)
    made: int = 0
    drive_s: float = 0.0
    work_s: float = 0.0

    def count(self, scan: ReplayedScan) -> None:
        """Take note of a scan."""
        self.done = scan.index + 1
        if scan.dropped:
            self.dropped[scan.dropped] += 1
        else:
            self.labelled += 1

    def speed(self) -> str:
        """How fast this run was, for people; empty if there was nothing to do."""
        if self.work_s <= 0 or self.drive_s <= 0:
            return ""
        rate, times = (self.made - 1) / self.work_s, self.drive_s / self.work_s
        return f"{rate:.1f} scans/s, {times:.1f} times real time"

    def reasons(self) -> str:
        """Dropped clouds for people: '3 pose_gap, 1 pose_too_old'."""
        return ", ".join(f"{n} {reason}" for reason, n in sorted(self.dropped.items()))


def unfinished(target: Target, resume: bool) -> bool:
    """Whether there is anything to do.

    Raises:
        KdmosError: the output exists, and is not to be taken up.
    """
    has_bookmark = Bookmark(target.path, {}).path.exists()
    if not target.path.exists():
        return True
    if resume:
        return has_bookmark
    if has_bookmark:
        raise KdmosError(f"{target.path} is unfinished; continue with --resume, or remove it")
    raise KdmosError(f"{target.path} exists already; choose another name or remove it")


def label_bag(
    bag: BagReader,
    segmenter: ScanSegmenter,
    made_by: str,
    target: Target,
    interrupt: Interrupt,
    resume: bool = False,
    poses: PoseSource | None = None,
) -> Outcome:
    """Label a bag; call `unfinished` first.

    Args:
        made_by: identity of the segmenter.
        interrupt: when it has a signal, the output is saved unfinished with a bookmark beside it.
        resume: go on with an unfinished output, if there is one.
        poses: where poses come from; None: the bag's odometry.

    Raises:
        KdmosError: not one cloud could be labelled, the bag is damaged, the output cannot be
            written or was begun otherwise. No output is left, or that of the run before.
    """
    bookmark = Bookmark(target.path, _identity(bag, made_by, target))
    resume = resume and bookmark.path.exists()
    start = bookmark.scans() if resume else 0
    outcome = Outcome(bag.n_scans)
    sink = InBackground(_open(bag, target, start, resume))
    try:
        stamps: list[int] = []
        began = time.perf_counter()
        health = HealthMonitor()
        replayed = replay(bag, segmenter, start=start, poses=poses, health=health)
        for scan in progress(replayed, bag.n_scans, "label"):
            sink.add(scan)
            outcome.count(scan)
            if scan.labels is not None:
                began = began if stamps else time.perf_counter()
                stamps = [*stamps[:1], scan.stamp_ns]
                outcome.made += 1
            if interrupt.signal and outcome.done < bag.n_scans:
                outcome.signal = interrupt.signal
                break
        outcome.health = health.summary()
        outcome.work_s = time.perf_counter() - began
        outcome.drive_s = (stamps[-1] - stamps[0]) * 1e-9 if stamps else 0.0
        if not outcome.signal and not outcome.labelled:
            raise KdmosError(f"no scan could be labelled ({outcome.reasons() or 'none there'})")
    except BaseException:
        sink.discard()
        raise
    _save(sink, bookmark, outcome, start)
    return outcome


def _save(sink: Sink, bookmark: Bookmark, outcome: Outcome, start: int) -> None:
    if not outcome.signal:
        sink.save(complete=True)
        bookmark.remove()
    elif outcome.done > start:
        # At no moment is there an unfinished output without a bookmark, or one ahead of it.
        if not bookmark.path.exists():
            bookmark.write(0)
        sink.save(complete=False)
        bookmark.write(outcome.done)
    else:
        sink.discard()


def _open(bag: BagReader, target: Target, start: int, resume: bool) -> Sink:
    if target.kind == LABEL_FILES:
        return LabelFiles(target.path)
    if target.kind == MAP:
        return MapFile(target.path, target.map_style, start > 0)
    topic = None if target.kind == WITHOUT_MOVING else target.topic
    return BagSink(target.path, bag.path, bag.cloud_topic, topic, resume)


def recording_identity(bag: BagReader, made_by: str) -> dict[str, object]:
    """Everything that the labels of a bag depend on.

    Args:
        made_by: identity of the segmenter.
    """
    return {
        "bag": f"{bag.path.name}, {bag.n_scans} clouds",
        "cloud topic": bag.cloud_topic,
        "odometry": bag.odom_topic or f"{bag.pose_source} {bag.fixed_frame}".strip(),
        "mount": bag.base_T_sensor.tolist(),
        "reading": dict(sorted(bag.cloud_options.items())),
        "model": made_by,
    }


def _identity(bag: BagReader, made_by: str, target: Target) -> dict[str, object]:
    options = {k: v for k, v in asdict(target).items() if k != "path"}
    return {**recording_identity(bag, made_by), **options}
