"""What a drive looks like to the model: density, ground, shadows and see-through residuals.

Computed by the node's own code (levelling, ground, alignment, visibility), so that simulated and
real drives can be compared in the quantities that the model sees; the figures about the ground of
then alone are of poses as they came. Labels are used for one thing only, and only where there are
any: points of moving objects are left out.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from kdmos_ros.evaluation.drive_counts import (
    CELL_LAG,
    CELL_POINTS,
    DENSITY_EDGES_M,
    GROUND_M,
    HEIGHT_EDGES_M,
    RANGE_EDGES_M,
    RINGS_M,
    SECTORS,
    SPEC,
    STEP_M,
    Counts,
    Curve,
    Float32,
    Float64,
    curves,
)
from kdmos_ros.features.grid import to_level, to_polar
from kdmos_ros.features.ground import ground_map, height_above
from kdmos_ros.features.ground_alignment import take_ground
from kdmos_ros.features.history import PastScan, ScanHistory
from kdmos_ros.features.point_coordinates import level_mount
from kdmos_ros.features.range_image import build_range_image
from kdmos_ros.features.scan_lookup import Seen, compare, on_ground, pasts_at
from kdmos_ros.features.upright import Upright
from kdmos_ros.features.visibility import MATCHED, SEEN_THROUGH, UNKNOWN
from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.labels import MOVING
from kdmos_ros.thread_pool import Threads

_DEFAULT_HEIGHT_M = 1.73
# More scans than any history holds, up to 40 Hz.
_MAX_PAST = 100
# Where the ground of now and of then are compared.
_OVERLAP_M = (5.0, 20.0)


def drive_statistics(source: Source, every: int = 1, limit: int | None = None) -> list[Curve]:
    """Statistics of a drive.

    Args:
        every: count one scan in so many; all are in the history.
        limit: first scans only.
    """
    base_T_sensor = source.base_T_sensor
    if base_T_sensor is None:
        base_T_sensor = make_transform(np.eye(3), [0, 0, _DEFAULT_HEIGHT_M])
    upright = Upright(base_T_sensor)
    history, counts, threads = ScanHistory(max(SPEC.lags_s)), Counts(), Threads(1)
    grounds: dict[int, Float32] = {}
    for index, sample in enumerate(islice(source, limit)):
        view = _View(replace(sample, scan=upright.turn(sample.scan)))
        if index % every == 0:
            _count(counts, view, history, grounds, threads)
        history.add(view.as_past())
        grounds[sample.scan.stamp_ns] = view.ground
        while len(grounds) > _MAX_PAST:
            del grounds[next(iter(grounds))]
    return curves(counts)


class _View:
    """An upright scan without its moving points, on the ground: rho, phi, height (N,) of points.

    Attributes:
        ground: the ground map.
        aligned_by: the ground of the whole scan, as poses are aligned by it.
    """

    def __init__(self, sample: LabelledScan) -> None:
        assert sample.scan.base_T_sensor is not None
        self.scan, self.mount = sample.scan, level_mount(sample.scan.base_T_sensor)
        level = self.to_level(sample.scan.points)
        rho, phi = to_polar(level)
        self.ground = ground_map(level[:, 2], rho, phi, float(self.mount[1]))
        height = height_above(self.ground, level[:, 2], rho, phi)
        self.aligned_by = take_ground(sample.scan.points, height, self.mount)
        keep = np.isfinite(rho) & (sample.labels != MOVING)
        self.points = np.ascontiguousarray(sample.scan.points[keep])
        self.rho, self.phi, self.height = rho[keep], phi[keep], height[keep]

    def to_level(self, points: Float32) -> Float32:
        """Level-frame points (N, 3)."""
        levelled: Float32 = to_level(points, *self.mount)
        return levelled

    def as_past(self) -> PastScan:
        """What later scans are compared with."""
        image = build_range_image(self.scan.points, SPEC.pool_rows)
        return PastScan(self.scan.stamp_ns, self.scan.pose, image, ground=self.aligned_by)


def _count(
    counts: Counts,
    view: _View,
    history: ScanHistory,
    grounds: dict[int, Float32],
    threads: Threads,
) -> None:
    rho, phi, height = view.rho, view.phi, view.height
    counts.scans += 1
    counts.density += np.bincount(
        np.digitize(rho, DENSITY_EDGES_M) - 1, minlength=len(DENSITY_EDGES_M)
    )
    band = np.digitize(rho, RANGE_EDGES_M) - 1
    low = (np.abs(height) < GROUND_M) & (band >= 0) & (band < len(RANGE_EDGES_M) - 1)
    bins = np.clip((height[low] + GROUND_M) / STEP_M, 0, counts.ground.shape[1] - 1)
    np.add.at(counts.ground, (band[low], bins.astype(int)), 1)
    _count_shadows(counts, rho, phi)
    slab = np.digitize(height, HEIGHT_EDGES_M) - 1
    inside = (band >= 0) & (band < len(RANGE_EDGES_M) - 1)
    inside &= (slab >= 0) & (slab < len(HEIGHT_EDGES_M) - 1)
    pasts = pasts_at(history, view.scan, SPEC)
    for past in pasts:
        then_from_now = invert(past.now_from_then)
        ground = grounds[past.scan.stamp_ns]
        _count_ground_then(counts.ground_then[past.lag], view, then_from_now, ground)
    aligned = on_ground(pasts, view.aligned_by, view.mount, threads)
    seen = compare(view.points, aligned, SPEC, threads)
    for past in pasts:
        _count_residuals(counts, past.lag, seen, (band, slab), inside)
        if past.lag == CELL_LAG:
            _count_cells(counts, seen.state[:, past.lag], rho, phi, band, inside & (slab >= 2))


def _count_residuals(
    counts: Counts,
    lag: int,
    seen: Seen,
    band_slab: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    inside: npt.NDArray[np.bool_],
) -> None:
    """States of the points by bands of range and height; range differences of the matched."""
    band, slab = band_slab
    state = seen.state[:, lag]
    np.add.at(counts.states[lag], (band[inside], slab[inside], state[inside]), 1)
    matched = state == MATCHED
    counts.offset[lag] += (matched.sum(), np.square(seen.near[matched, lag]).sum())


def _count_ground_then(sums: Float64, view: _View, then_from_now: Float64, ground: Float32) -> None:
    """Ground points of now against the ground of then: where poses err, they leave it.

    Adds 1, the spread of their heights (m) and the size of their slope along x (degrees).
    """
    flat = np.abs(view.height) < 0.12
    moved = view.points[flat] @ then_from_now[:3, :3].T + then_from_now[:3, 3]
    level = view.to_level(moved.astype(np.float32))
    rho, phi = to_polar(level)
    height = height_above(ground, level[:, 2], rho, phi)
    use = (rho > _OVERLAP_M[0]) & (rho < _OVERLAP_M[1]) & (np.abs(height) < 0.5)
    if np.count_nonzero(use) < 100:
        return
    height, forward = height[use], level[use, 0]
    spread = 1.48 * np.median(np.abs(height - np.median(height)))
    slope = np.polyfit(forward, height, 1)[0]
    sums += (1, spread, abs(np.degrees(np.arctan(slope))))


def _count_shadows(counts: Counts, rho: npt.NDArray[np.float32], phi: Float64) -> None:
    """Rings without a return in front of the farthest one of their sector."""
    first, last = RINGS_M
    sector = ((phi + np.pi) * (SECTORS / (2 * np.pi))).astype(int) % SECTORS
    seen = np.zeros((SECTORS, last + 1), bool)
    seen[sector, np.minimum(rho, last).astype(int)] = True
    farthest = last - np.argmax(seen[:, ::-1], axis=1)
    ring = np.arange(first, last)
    before = ring[None] < farthest[:, None]
    counts.rings[:, 0] += before.sum(axis=0)
    counts.rings[:, 1] += (before & ~seen[:, first:last]).sum(axis=0)


def _count_cells(
    counts: Counts,
    state: npt.NDArray[np.uint8],
    rho: npt.NDArray[np.float32],
    phi: Float64,
    band: npt.NDArray[np.intp],
    where: npt.NDArray[np.bool_],
) -> None:
    """Cells seen through in part (porous, as growth is) and as a whole (as movers are)."""
    where = where & (state != UNKNOWN)
    sector = ((phi[where] + np.pi) * (SECTORS / (2 * np.pi))).astype(int) % SECTORS
    cell = rho[where].astype(int) * SECTORS + sector
    n = np.bincount(cell)
    through = np.bincount(cell, state[where] == SEEN_THROUGH, minlength=len(n))
    at = np.zeros(len(n), int)
    at[cell] = band[where]
    full = n >= CELL_POINTS
    share = through[full] / n[full]
    for column, hit in enumerate((share >= 0, (share > 0.1) & (share < 0.9), share >= 0.9)):
        counts.cells[:, column] += np.bincount(at[full][hit], minlength=len(counts.cells))
