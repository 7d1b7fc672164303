"""The columns of the motion map that compare cells, not points, with those of past scans.

Vacated space (see `vacated`) and height residuals (see `height_residual`), as far as a model has
them. What later scans need for it is kept with the newest one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.height_residual import (
    N_RESIDUALS,
    CellHeights,
    PastPoints,
    cell_bounds,
    height_residuals,
    keep_points,
    newest_heights,
    past_heights,
)
from kdmos_ros.features.history import PastScan
from kdmos_ros.features.motion_map import MotionMap
from kdmos_ros.features.point_coordinates import Mount, Places
from kdmos_ros.features.scan_lookup import AtLag
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.vacated import Voxels, take_voxels, vacated_share
from kdmos_ros.thread_pool import Threads

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


class CellResiduals:
    """Those of one scan. Work that needs its places only is begun at once, in other threads.

    Args:
        points: (N, 3) float32 of the scan, sensor frame, metres; at: their places.
        pasts: what it is compared with.
        grid, spec, mount: of the feature extractor.
    """

    def __init__(
        self,
        points: Float32,
        at: Places,
        pasts: Sequence[AtLag],
        grid: PolarGrid,
        spec: FeatureSpec,
        mount: Mount,
        threads: Threads,
    ) -> None:
        self._points, self._at, self._pasts = points, at, pasts
        self._grid, self._spec, self._mount = grid, spec, mount
        self._threads = threads
        self._laid: list[Callable[[], CellHeights]] = []
        if spec.height_residuals:
            self._bounds = cell_bounds(at.ground, grid, at.top)
            self._laid = [threads.begin(partial(self._lay, past)) for past in pasts]

    def begin(
        self,
        motion: MotionMap,
        newest: PastScan,
        index: npt.NDArray[np.int64],
        cell: npt.NDArray[np.int32],
    ) -> Callable[[], PastScan]:
        """Begin to fill in the columns of the motion map.

        Args:
            newest: the scan, its image made.
            index, cell: (P,) rows of the scan in the grid, and their cells.

        Returns:
            Waits for it; gives the newest scan with what later ones will ask it for.
        """
        spec, begin = self._spec, self._threads.begin
        work: list[Callable[[], object]] = []
        voxels: Callable[[], Voxels] | None = None
        first = spec.n_states
        if spec.vacated:
            columns = motion.values[:, first : first + spec.n_vacated]
            work += [
                begin(partial(self._vacated, past, columns, motion.touched, newest))
                for past in self._pasts
            ]
            voxels = begin(partial(self._voxels, index, cell))
            first += spec.n_vacated
        points: Callable[[], PastPoints] | None = None
        if spec.height_residuals:
            # Before those that wait for it.
            now = begin(partial(newest_heights, self._at, self._bounds, self._grid))
            columns = motion.values[:, first:]
            for past, laid in zip(self._pasts, self._laid, strict=True):
                work.append(begin(partial(self._heights, past, laid, now, columns, motion.touched)))
            points = begin(partial(keep_points, self._points, self._grid))

        def filled() -> PastScan:
            for wait in work:
                wait()
            return dataclasses.replace(
                newest,
                voxels=None if voxels is None else voxels(),
                points=None if points is None else points(),
            )

        return filled

    def _vacated(self, past: AtLag, columns: Float32, touched: Bool, newest: PastScan) -> None:
        n_slabs = len(self._spec.slabs_m) - 1
        assert past.scan.voxels is not None
        vacated_share(
            past.scan.voxels,
            past.now_from_then.astype(np.float32),
            newest.image,
            self._grid,
            self._spec.visibility,
            self._mount,
            columns[:, past.lag * n_slabs : (past.lag + 1) * n_slabs],
            touched,
        )

    def _voxels(self, index: npt.NDArray[np.int64], cell: npt.NDArray[np.int32]) -> Voxels:
        slabs = np.asarray(self._spec.slabs_m, np.float32)
        return take_voxels(self._points, index, cell, self._at.height, slabs, self._grid.n_cells)

    def _lay(self, past: AtLag) -> CellHeights:
        points = past.scan.points
        assert points is not None
        return past_heights(points, past.now_from_then, self._mount, self._bounds, self._grid)

    def _heights(
        self,
        past: AtLag,
        laid: Callable[[], CellHeights],
        now: Callable[[], CellHeights],
        columns: Float32,
        touched: Bool,
    ) -> None:
        start = past.lag * N_RESIDUALS
        height_residuals(now(), laid(), columns[:, start : start + N_RESIDUALS], touched)
