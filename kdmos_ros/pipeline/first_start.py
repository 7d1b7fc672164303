"""The first start on a machine compiles all kernels, with two cores in two processes.

numba compiles one kernel at a time, whatever the number of threads, and keeps the result on disk.
So another process begins with those that are needed last, and this one finds them there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.height_residual import (
    PastPoints,
    height_residuals,
    newest_heights,
    past_heights,
)
from kdmos_ros.features.kernels import map_states, point_columns
from kdmos_ros.features.point_coordinates import Places, level_mount
from kdmos_ros.features.range_image import N_COLUMNS, NOTHING, RangeImage
from kdmos_ros.features.vacated import Voxels, vacated_share
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.pipeline.time_judge import TimeJudge
from kdmos_ros.poses.deskewer import Deskewer
from kdmos_ros.segmentation.hysteresis import evidence_of_motion
from kdmos_ros.segmentation.read_out import gather
from kdmos_ros.thread_pool import thread_count

_CELLS, _POINTS, _LAGS, _SLABS = 9, 4, 4, 3
_GRID = PolarGrid(2.0, 5.0, 3, 3)


def warm_up(segmenter: Any) -> None:
    """Compile and allocate what labelling needs, so that the first cloud is not late."""
    with _compiled_beside():
        segmenter.warm_up()
        Deskewer.warm_up()
        TimeJudge.warm_up()


def needed_last() -> list[Callable[[], object]]:
    """Each compiles some kernels, or loads them: those of the second half of the way, in its order.

    They are called as `Segmenter` calls them, with types that must be the same.
    """
    return [_columns, _answer, _past, TimeJudge.warm_up, Deskewer.warm_up]


def _answer() -> None:
    labels, probability = np.zeros(_POINTS, np.uint8), np.full(_POINTS, 0.5, np.float32)
    rows = np.arange(_POINTS, dtype=np.int32)
    logits, key = np.zeros((_POINTS, 1, 4), np.float32), np.zeros((_POINTS, 2), np.float32)
    index = rows.astype(np.int64)
    gather(logits, key, key, rows, rows * 0, index, 0.5, labels, probability)
    evidence_of_motion(probability, rows, _GRID, 0.4)


def _columns() -> None:
    at, line = _places(), np.ones(_POINTS, np.float32)
    seen = [np.zeros((_POINTS, _LAGS), kind, order="F") for kind in (np.uint8, np.float32)]
    point_columns(
        np.zeros((1, 2), np.int64),
        (0, _POINTS),
        at,
        line,
        np.ones(6, np.float32),
        seen[1],
        seen[1],
        np.zeros(3, np.float32),
        np.zeros((_POINTS, 1), np.float32),
    )
    slabs = np.linspace(0, 1, _SLABS + 1, dtype=np.float32)
    motion = np.zeros((_CELLS, 3 * _LAGS * _SLABS), np.float32)
    touched = np.zeros(_CELLS, np.bool_)
    map_states(np.arange(_POINTS), at.cell, line, slabs, seen[0], motion, touched)
    newest_heights(at, np.zeros((_CELLS, 2), np.float32), _GRID)


def _past() -> None:
    points, pose = np.ones((_POINTS, 3), np.float32), np.eye(4, dtype=np.float32)
    mount = level_mount(np.eye(4))
    voxels = Voxels(points, np.zeros(_POINTS, np.uint8))
    image = RangeImage(np.full(N_COLUMNS + 1, NOTHING, np.uint32), 0)
    columns, touched = np.zeros((_CELLS, 2 * _SLABS), np.float32), np.zeros(_CELLS, np.bool_)
    out = columns[:, :_SLABS]
    vacated_share(voxels, pose, image, _GRID, VisibilitySpec(), mount, out, touched)
    steps = PastPoints(np.ones((_POINTS, 3), np.int16), 0.01)
    bounds = np.zeros((_CELLS, 2), np.float32)
    heights = past_heights(steps, np.eye(4), mount, bounds, _GRID)
    height_residuals(heights, heights, columns[:, :2], touched)


def _places() -> Places:
    level = np.ones((3, _POINTS), np.float32).T  # by columns, as `to_level` makes it
    line, cell = np.ones(_POINTS, np.float32), np.zeros(_POINTS, np.int32)
    ground = np.zeros((2, 2), np.float32)
    return Places(level, line, line, ground, line, line, cell, cell, np.float32(np.inf))


@contextmanager
def _compiled_beside() -> Iterator[None]:
    """A process beside compiles `needed_last`, if they are not yet, until this ends."""
    if thread_count(0) < 2 or _on_disk(point_columns):
        yield
        return
    # A session of its own: ^C at the terminal is for us.
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what goes wrong there goes wrong here too, and is told
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _on_disk(kernel: Any) -> bool:
    """Whether numba has kept anything of a kernel."""
    name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}-*.nbi"
    return any(Path(kernel.stats.cache_path).glob(name))


if __name__ == "__main__":
    for compile_some in needed_last():
        if os.getppid() != int(sys.argv[1]):
            break  # nobody waits for it
        compile_some()
