"""What a labelled drive can be written to; each output can be left unfinished and taken up."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from kdmos_ros.defaults import MAP_VOXEL_M
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.point_file import check_suffix, colours_by_height, write_map
from kdmos_ros.io.semantickitti import read_label
from kdmos_ros.io.semantickitti_writer import PredictionWriter
from kdmos_ros.labels import to_semantickitti
from kdmos_ros.mapping.static_map import StaticMap
from kdmos_ros.mapping.views import Views
from kdmos_ros.pipeline.replay import ReplayedScan

# Scans that may wait to be written; each holds its cloud in memory.
_AHEAD = 4


class Sink(Protocol):
    """Takes the scans of a replay in order.

    Nothing appears under the output's name before `save`, which may come after any scan and ends
    the writing; `discard` ends it too and leaves what was there before.
    """

    def add(self, scan: ReplayedScan) -> None:
        """Take a scan: labelled, dropped, or skipped because an earlier run has done it."""

    def save(self, complete: bool) -> None:
        """Write what was taken; `complete` if it is the whole drive."""

    def discard(self) -> None:
        """Drop what was taken."""


class InBackground:
    """Runs a sink in a thread of its own: packing and compressing overlap with labelling."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()

    def add(self, scan: ReplayedScan) -> None:
        """See Sink. What went wrong with an earlier scan is raised here, too."""
        while len(self._pending) >= _AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._sink.add, scan))

    def save(self, complete: bool) -> None:
        """See Sink."""
        try:
            while self._pending:
                self._pending.popleft().result()
        except BaseException:
            self.discard()
            raise
        self._pool.shutdown()
        self._sink.save(complete)

    def discard(self) -> None:
        """See Sink."""
        self._pool.shutdown(cancel_futures=True)
        self._sink.discard()


class LabelFiles:
    """A folder with a SemanticKITTI file NNNNNN.label for each cloud; zeros where dropped.

    Args:
        folder: becomes the folder; an unfinished one of that name gives what was skipped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            self._scratch.chmod(0o755)  # mkdtemp makes it private
        except OSError as error:
            raise KdmosError(f"cannot write {folder}: {error.strerror}") from error
        self._files = PredictionWriter(self._scratch)

    def add(self, scan: ReplayedScan) -> None:
        """See Sink."""
        if scan.skipped and not scan.dropped:
            done = self._folder / f"{scan.index:06d}.label"
            raw = read_label(done, scan.n_points)
        elif scan.labels is None:
            raw = np.zeros(scan.n_points, np.uint32)
        else:
            raw = to_semantickitti(scan.labels)
        self._files.add(scan.index, raw)

    def save(self, complete: bool) -> None:
        """See Sink."""
        try:
            if self._folder.exists():
                os.replace(self._folder, f"{self._scratch}.old")
            os.replace(self._scratch, self._folder)
        except OSError as error:
            raise KdmosError(f"cannot write {self._folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(f"{self._scratch}.old", ignore_errors=True)
            self.discard()

    def discard(self) -> None:
        """See Sink."""
        shutil.rmtree(self._scratch, ignore_errors=True)


@dataclass(frozen=True)
class MapStyle:
    """How a map is written.

    Attributes:
        voxel_m: edge of a voxel; each gives the mean of its points.
        height_colours: whether points are coloured by their height.
        smooth_ground: whether points of level surfaces are moved onto the planes around them.
    """

    voxel_m: float = MAP_VOXEL_M
    height_colours: bool = False
    smooth_ground: bool = False


class MapFile:
    """The static world as one point cloud in odom, see `StaticMap`.

    Args:
        path: one of `point_file.SUFFIXES`. What an unfinished map needs to go on lies beside it.
        resume: go on with an unfinished map.

    Raises:
        KdmosError: another suffix, or the unfinished map is damaged.
    """

    def __init__(self, path: Path, style: MapStyle, resume: bool) -> None:
        check_suffix(path)
        self._path, self._style, self._resumed = path, style, resume
        self._state = path.with_name(f"{path.name}.partial.npz")
        self._views = Views(path.with_name(f"{path.name}.partial.views"))
        if resume:
            self._map = StaticMap.load(self._state, self._views)
        else:
            self._views.remove()
            self._map = StaticMap(style.voxel_m, self._views)

    def add(self, scan: ReplayedScan) -> None:
        """See Sink."""
        if scan.index < self._map.scans:
            return  # an earlier run has done it
        if scan.labels is not None and scan.scan is not None:
            self._map.add(scan.scan, scan.labels)
        self._map.scans = scan.index + 1

    def save(self, complete: bool) -> None:
        """See Sink."""
        cloud = self._map.points(self._style.smooth_ground)
        if self._style.height_colours:
            cloud = replace(cloud, rgb=colours_by_height(cloud.points))
        write_map(self._path, cloud)
        if complete:
            self._state.unlink(missing_ok=True)
            self._views.remove()
        else:
            self._map.save(self._state)

    def discard(self) -> None:
        """See Sink."""
        if not self._resumed:
            self._views.remove()
