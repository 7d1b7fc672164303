"""What a drive looks like to the model: density, ground, shadows and see-through residuals.

Computed by the node's own code (levelling, ground, visibility), so that simulated and real drives
can be compared in the quantities that the model sees. Labels are used for one thing only, and only
where there are any: points of moving objects are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from kdmos_ros.breakdown import labels_of
from kdmos_ros.geometry import invert, make_transform
from kdmos_ros.grid import to_level, to_polar
from kdmos_ros.ground import ground_map, height_above
from kdmos_ros.history import PastScan, ScanHistory
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.labels import MOVING
from kdmos_ros.visibility import (
    HIDDEN,
    MATCHED,
    SEEN_THROUGH,
    UNKNOWN,
    VisibilitySpec,
    build_range_image,
    look_up,
)

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DENSITY_EDGES_M = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)
RANGE_EDGES_M = (2.0, 10.0, 20.0, 35.0, 50.0)
HEIGHT_EDGES_M = (-0.1, 0.1, 0.4, 1.2, 3.5, 8.0)
STATES = {"unknown": UNKNOWN, "seen through": SEEN_THROUGH, "matched": MATCHED, "hidden": HIDDEN}
SPEC = VisibilitySpec()
# Ground spread: heights within this of the estimated ground, in steps of a centimetre.
_GROUND_M, _STEP_M = 0.3, 0.01
# Shadows: sectors of one degree, rings of a metre.
_SECTORS, _RINGS_M = 360, (4, 40)
# Cells of a metre and a degree with at least so many points above the ground can flicker.
_CELL_POINTS, _CELL_LAG = 5, 2
_DEFAULT_HEIGHT_M = 1.73
# More scans than any history holds, up to 40 Hz.
_MAX_PAST = 100
# Where the ground of now and of then are compared.
_OVERLAP_M = (5.0, 20.0)


@dataclass(frozen=True)
class Curve:
    """One figure in several bands: the names of the bands and its values (NaN: no data)."""

    title: str
    bands: tuple[str, ...]
    values: Float64


@dataclass
class _Counts:
    """Sums over scans; L lags, R range bands, H height bands, S states."""

    scans: int = 0
    density: Float64 = field(default_factory=lambda: np.zeros(len(DENSITY_EDGES_M)))
    ground: Float64 = field(
        default_factory=lambda: np.zeros((len(RANGE_EDGES_M) - 1, round(2 * _GROUND_M / _STEP_M)))
    )
    states: Float64 = field(
        default_factory=lambda: np.zeros(
            (len(SPEC.lags_s), len(RANGE_EDGES_M) - 1, len(HEIGHT_EDGES_M) - 1, len(STATES))
        )
    )
    offset: Float64 = field(default_factory=lambda: np.zeros((len(SPEC.lags_s), 2)))
    rings: Float64 = field(default_factory=lambda: np.zeros((_RINGS_M[1] - _RINGS_M[0], 2)))
    cells: Float64 = field(default_factory=lambda: np.zeros((len(RANGE_EDGES_M) - 1, 3)))
    ground_then: Float64 = field(default_factory=lambda: np.zeros((len(SPEC.lags_s), 3)))


def drive_statistics(source: Source, every: int = 1, limit: int | None = None) -> list[Curve]:
    """Statistics of a drive.

    Args:
        every: count one scan in so many; all are in the history.
        limit: first scans only.
    """
    mount = source.base_T_sensor
    if mount is None:
        mount = make_transform(np.eye(3), [0, 0, _DEFAULT_HEIGHT_M])
    history, counts = ScanHistory(max(SPEC.lags_s)), _Counts()
    grounds: dict[int, Float32] = {}
    for index, sample in enumerate(islice(source, limit)):
        view = _View(sample, mount)
        if index % every == 0:
            _count(counts, view, history, grounds)
        scan = sample.scan
        history.add(PastScan(scan.stamp_ns, scan.pose, build_range_image(scan.points)))
        grounds[scan.stamp_ns] = view.ground
        while len(grounds) > _MAX_PAST:
            del grounds[next(iter(grounds))]
    return _curves(counts)


class _View:
    """A scan without its moving points, on the ground: rho, phi, height (N,) of points (N, 3).

    Attributes:
        ground: the ground map; mount: (4, 4) T_base_sensor.
    """

    def __init__(self, sample: LabelledScan, mount: Float64) -> None:
        self.scan, self.mount = sample.scan, mount
        level = self.to_level(sample.scan.points)
        rho, phi = to_polar(level)
        self.ground = ground_map(level[:, 2], rho, phi)
        keep = np.isfinite(rho) & (sample.labels != MOVING)
        self.points = np.ascontiguousarray(sample.scan.points[keep])
        self.rho, self.phi = rho[keep], phi[keep]
        self.height = height_above(self.ground, level[keep, 2], self.rho, self.phi)

    def to_level(self, points: Float32) -> Float32:
        """Level-frame points (N, 3)."""
        levelled: Float32 = to_level(
            points, self.mount[:3, :3].astype(np.float32), np.float32(self.mount[2, 3])
        )
        return levelled


def _count(counts: _Counts, view: _View, history: ScanHistory, grounds: dict[int, Float32]) -> None:
    rho, phi, height, points = view.rho, view.phi, view.height, view.points
    counts.scans += 1
    counts.density += np.bincount(
        np.digitize(rho, DENSITY_EDGES_M) - 1, minlength=len(DENSITY_EDGES_M)
    )
    band = np.digitize(rho, RANGE_EDGES_M) - 1
    low = (np.abs(height) < _GROUND_M) & (band >= 0) & (band < len(RANGE_EDGES_M) - 1)
    bins = np.clip((height[low] + _GROUND_M) / _STEP_M, 0, counts.ground.shape[1] - 1)
    np.add.at(counts.ground, (band[low], bins.astype(int)), 1)
    _count_shadows(counts, rho, phi)
    slab = np.digitize(height, HEIGHT_EDGES_M) - 1
    inside = (band >= 0) & (band < len(RANGE_EDGES_M) - 1)
    inside &= (slab >= 0) & (slab < len(HEIGHT_EDGES_M) - 1)
    for lag, lag_s in enumerate(SPEC.lags_s):
        past = history.at_lag(view.scan.stamp_ns, lag_s)
        if past is None:
            continue
        state = np.empty(len(points), np.uint8)
        near, far = np.empty(len(points), np.float32), np.empty(len(points), np.float32)
        move = invert(past.pose) @ view.scan.pose
        look_up(
            past.image,
            move.astype(np.float32),
            points,
            SPEC.margin_m,
            SPEC.margin_per_m,
            state,
            near,
            far,
        )
        np.add.at(counts.states[lag], (band[inside], slab[inside], state[inside]), 1)
        matched = state == MATCHED
        counts.offset[lag] += (matched.sum(), np.square(near[matched]).sum())
        _count_ground_then(counts.ground_then[lag], view, move, grounds[past.stamp_ns])
        if lag == _CELL_LAG:
            _count_cells(counts, state, rho, phi, band, inside & (slab >= 2))


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


def _count_shadows(counts: _Counts, rho: npt.NDArray[np.float32], phi: Float64) -> None:
    """Rings without a return in front of the farthest one of their sector."""
    first, last = _RINGS_M
    sector = ((phi + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
    seen = np.zeros((_SECTORS, last + 1), bool)
    seen[sector, np.minimum(rho, last).astype(int)] = True
    farthest = last - np.argmax(seen[:, ::-1], axis=1)
    ring = np.arange(first, last)
    before = ring[None] < farthest[:, None]
    counts.rings[:, 0] += before.sum(axis=0)
    counts.rings[:, 1] += (before & ~seen[:, first:last]).sum(axis=0)


def _count_cells(
    counts: _Counts,
    state: npt.NDArray[np.uint8],
    rho: npt.NDArray[np.float32],
    phi: Float64,
    band: npt.NDArray[np.intp],
    where: npt.NDArray[np.bool_],
) -> None:
    """Cells seen through in part (porous, as growth is) and as a whole (as movers are)."""
    where = where & (state != UNKNOWN)
    sector = ((phi[where] + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
    cell = rho[where].astype(int) * _SECTORS + sector
    n = np.bincount(cell)
    through = np.bincount(cell, state[where] == SEEN_THROUGH, minlength=len(n))
    at = np.zeros(len(n), int)
    at[cell] = band[where]
    full = n >= _CELL_POINTS
    share = through[full] / n[full]
    for column, hit in enumerate((share >= 0, (share > 0.1) & (share < 0.9), share >= 0.9)):
        counts.cells[:, column] += np.bincount(at[full][hit], minlength=len(counts.cells))


def _curves(c: _Counts) -> list[Curve]:
    ranges = tuple(labels_of(RANGE_EDGES_M, "m")[:-1])
    heights = tuple(labels_of(HEIGHT_EDGES_M, "m")[:-1])
    lags = tuple(f"{lag:g} s ago" for lag in SPEC.lags_s)
    through = c.states[..., SEEN_THROUGH]
    known = c.states.sum(axis=-1) - c.states[..., UNKNOWN]
    upright = slice(2, None)  # height bands that are not ground or curbs
    curves = [
        Curve("points a scan", tuple(labels_of(DENSITY_EDGES_M, "m")), c.density / max(1, c.scans)),
        Curve("ground spread, m", ranges, np.array([_spread(row) for row in c.ground])),
        Curve(
            "rings in shadow",
            tuple(f"{a}-{a + 9} m" for a in range(*_RINGS_M, 9)),
            _ratio(*(c.rings.reshape(-1, 9, 2).sum(axis=1).T[::-1])),
        ),
    ]
    for lag, name in enumerate(lags):
        curves.append(
            Curve(
                f"seen through {name}, above 0.4 m",
                ranges,
                _ratio(through[lag, :, upright].sum(axis=1), known[lag, :, upright].sum(axis=1)),
            )
        )
    lag = _CELL_LAG
    curves += [
        Curve(
            f"seen through {lags[lag]}, by height",
            heights,
            _ratio(through[lag].sum(axis=0), known[lag].sum(axis=0)),
        ),
        Curve("porous cells", ranges, _ratio(c.cells[:, 1], c.cells[:, 0])),
        Curve("cells wholly seen through", ranges, _ratio(c.cells[:, 2], c.cells[:, 0])),
        Curve("range difference where matched, margins", lags, _rms(c.offset)),
        Curve("spread above the ground of then, m", lags, _mean(c.ground_then, 1)),
        Curve("pitch against the ground of then, degrees", lags, _mean(c.ground_then, 2)),
    ]
    for name, state in STATES.items():
        part = c.states[..., state].sum(axis=(1, 2))
        curves.append(Curve(f"residual: {name}", lags, _ratio(part, c.states.sum(axis=(1, 2, 3)))))
    return curves


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(sums: Float64, column: int) -> Float64:
    return _ratio(sums[:, column], sums[:, 0])


def _rms(offset: Float64) -> Float64:
    # The kernel's differences are halves of a margin.
    return 2 * np.sqrt(_ratio(offset[:, 1], offset[:, 0]))


def _spread(histogram: Float64) -> float:
    """Half the distance between the 16th and 84th percentile: sigma of a normal distribution."""
    total = histogram.sum()
    if not total:
        return float("nan")
    cumulative = np.cumsum(histogram) / total
    low, high = np.searchsorted(cumulative, (0.159, 0.841))
    return float((high - low) / 2 * _STEP_M)
