"""From scans to the tensors that the student reads: the one definition for training and node.

Scans are turned upright first (see `upright`).

Per point: offsets to its cell, polar coordinates, height above the local ground, and the
see-through residuals against past scans, and against later ones (see `lookahead`) if the model
takes them. Per cell (the motion branch): for each height slab and lag, which share of the points
was seen through, matched or hidden. What compares whole cells (`cell_residuals`) beside or instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.cell_residuals import CellResiduals
from kdmos_ros.features.grid import OUTSIDE, PolarGrid
from kdmos_ros.features.ground_alignment import take_ground
from kdmos_ros.features.history import PastScan, ScanHistory
from kdmos_ros.features.kernels import map_states, occupancy, point_columns
from kdmos_ros.features.motion_map import MotionMap
from kdmos_ros.features.point_coordinates import Mount, Places, level_mount, place
from kdmos_ros.features.range_image import build_range_image
from kdmos_ros.features.scan_lookup import Seen, compare, leads_at, on_ground, pasts_at
from kdmos_ros.features.spec import FeatureSpec, column_codes
from kdmos_ros.features.upright import Upright
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.scan import Scan
from kdmos_ros.thread_pool import Threads

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureFrame:
    """One scan as tensors. N points in the scan, P of them in the grid, K occupied cells.

    Attributes:
        index: (P,) int64, rows of the scan.
        point: (P, F) float32 point features.
        cell: (P,) int32 cell of each point.
        slot: (P,) int32 position of that cell in `occupied`.
        z_bin: (P,) int32 height bin of each point.
        occupied: (K,) int64 occupied cells, rising.
        motion_rows: (R, M) float32 rows of the motion map; the first one is zeros.
        motion_row: (n_rho * n_phi,) int64, which of them each cell has.
        n_points: N.
        overhead: (C,) int64, rows of the scan that are a ceiling's, in no cell.
        n_past: how many of the lags, those of later scans too, had a scan to compare with.
    """

    index: npt.NDArray[np.int64]
    point: Float32
    cell: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int32]
    z_bin: npt.NDArray[np.int32]
    occupied: npt.NDArray[np.int64]
    motion_rows: Float32
    motion_row: npt.NDArray[np.int64]
    n_points: int
    n_past: int
    overhead: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def motion(self) -> Float32:
        """(n_rho * n_phi, M) float32 motion map, made anew each time."""
        return self.motion_rows[self.motion_row]


class FeatureExtractor:
    """Turns a stream of scans into feature frames; keeps the past it needs.

    Causal, unless later scans are given.

    Args:
        grid, spec: what the model was trained with.
        base_T_sensor: (4, 4) mount of the sensor, for scans that do not know theirs.
        num_threads: threads to share the work among, at least 1.
        threads: instead, those of others.
    """

    def __init__(
        self,
        grid: PolarGrid,
        spec: FeatureSpec,
        base_T_sensor: npt.NDArray[np.float64],
        num_threads: int = 1,
        threads: Threads | None = None,
    ) -> None:
        self.grid = grid
        self.spec = spec
        self._codes = column_codes(spec)
        self._slabs = np.asarray(spec.slabs_m, np.float32)
        self._upright = Upright(base_T_sensor)
        self._history = ScanHistory(max(spec.visibility.lags_s))
        self._threads = threads or Threads(num_threads)
        self._motion = MotionMap(grid.n_cells, spec.n_motion)

    def reset(self) -> None:
        """Forget the past, as after a jump of the pose or of time."""
        self._history.clear()
        self._upright.reset()
        self._motion.take()

    def as_later(self, scan: Scan) -> PastScan:
        """A scan as the ones before it are compared with it. The past stays as it is."""
        scan, points, mount = self._turned(scan)
        ground = None
        if self.spec.ground_aligned:
            ground = take_ground(points, place(points, mount, self.grid).height, mount)
        image = build_range_image(points, self.spec.visibility.pool_rows)
        return PastScan(scan.stamp_ns, scan.pose, image, ground=ground)

    def push(
        self,
        scan: Scan,
        timings_ms: dict[str, float] | None = None,
        later: Sequence[PastScan] = (),
        view: PastScan | None = None,
    ) -> FeatureFrame:
        """Features of the newest scan against the past ones; then it becomes one of them.

        Args:
            timings_ms: gets the stages residual and features, milliseconds.
            later: scans after it, as far as they are known, by `as_later`.
            view: what that has made of this scan, to save making its range image again.

        Raises:
            ValueError: the stamp is not newer than the last one.
        """
        self._history.check(scan.stamp_ns)
        start = time.perf_counter()
        scan, points, mount = self._turned(scan)
        spec = self.spec.visibility
        image = self._threads.begin(
            lambda: view.image if view else build_range_image(points, spec.pool_rows)
        )
        placed = self._threads.begin(lambda: place(points, mount, self.grid))
        pasts = pasts_at(self._history, scan, spec)
        leads = leads_at(later, scan, spec)
        ground = None
        if self.spec.ground_aligned:
            ground = take_ground(points, placed().height, mount)
            pasts = on_ground(pasts, ground, mount, self._threads)
            leads = on_ground(leads, ground, mount, self._threads)
        others = pasts + leads
        at = placed()
        cells = CellResiduals(points, at, pasts, self.grid, self.spec, mount, self._threads)
        seen = compare(points, others, spec, self._threads)
        newest = PastScan(scan.stamp_ns, scan.pose, image(), ground=ground)
        compared = time.perf_counter()
        velocity = _velocity(scan, self._history.newest)
        frame, known = self._frame(at, scan.intensity, seen, velocity, cells, newest)
        self._history.add(known)
        if timings_ms is not None:
            timings_ms["residual"] = (compared - start) * 1e3
            timings_ms["features"] = (time.perf_counter() - compared) * 1e3
        return frame

    def _turned(self, scan: Scan) -> tuple[Scan, Float32, Mount]:
        """The scan in the upright frame, its points for compiled code, and its mount."""
        scan = self._upright.turn(scan)
        assert scan.base_T_sensor is not None
        points = np.ascontiguousarray(scan.points, dtype=np.float32)
        return scan, points, level_mount(scan.base_T_sensor)

    def _frame(
        self,
        at: Places,
        intensity: Float32 | None,
        seen: Seen,
        velocity: Float32,
        cells: CellResiduals,
        newest: PastScan,
    ) -> tuple[FeatureFrame, PastScan]:
        """The tensors, and the newest scan with what later ones will ask it for."""
        grid, motion, n = self.grid, self._motion, len(at.rho)
        index, cell, slot, z_bin, occupied = occupancy(at.cell, at.z_bin, grid.n_cells)
        mapped = seen.state if self.spec.visibility_map else seen.state[:, :0]
        # All of these fill columns of their own.
        filled = cells.begin(motion, newest, index, cell)
        mapped_states = self._threads.begin(
            lambda: map_states(
                index, cell, at.height, self._slabs, mapped, motion.values, motion.touched
            )
        )
        extent = (grid.rho_min, grid.d_rho, grid.d_phi, grid.z_min, grid.d_z, grid.z_max)
        if intensity is None:
            intensity = np.zeros(n, np.float32)
        columns = np.empty((len(index), len(self._codes)), np.float32)

        def fill(rows: slice) -> None:
            first, last = np.searchsorted(index, (rows.start, rows.stop))
            point_columns(
                self._codes,
                (rows.start, rows.stop),
                at,
                intensity,
                np.array(extent, np.float32),
                seen.near,
                seen.far,
                velocity,
                columns[first:last],
            )

        self._threads.in_parts(n, fill)
        mapped_states()
        known = filled()
        frame = FeatureFrame(
            index,
            columns,
            cell,
            slot,
            z_bin,
            occupied,
            *motion.take(),
            n,
            seen.n_compared,
            _overhead(at, grid),
        )
        return frame, known


def _overhead(at: Places, grid: PolarGrid) -> npt.NDArray[np.int64]:
    """Rows (C,) of a ceiling's points that the grid would have."""
    if at.top == np.inf:
        return np.empty(0, np.int64)
    rows = np.flatnonzero(at.height >= at.top)
    return rows[grid.cells(at.rho[rows], at.phi[rows]) != OUTSIDE]


def _velocity(scan: Scan, last: PastScan | None) -> Float32:
    """(3,) velocity of the sensor since the last scan, in its frame, m/s; 0 for the first one."""
    if last is None:
        return np.zeros(3, np.float32)
    came_from = (invert(scan.pose) @ last.pose)[:3, 3]
    return (came_from / ((last.stamp_ns - scan.stamp_ns) * 1e-9)).astype(np.float32)
