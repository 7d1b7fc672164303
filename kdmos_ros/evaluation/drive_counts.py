"""Sums over the scans of a drive, and the curves that they make."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kdmos_ros.evaluation.breakdown import band_names
from kdmos_ros.features.visibility import HIDDEN, MATCHED, SEEN_THROUGH, UNKNOWN, VisibilitySpec

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DENSITY_EDGES_M = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)
RANGE_EDGES_M = (2.0, 10.0, 20.0, 35.0, 50.0)
HEIGHT_EDGES_M = (-0.1, 0.1, 0.4, 1.2, 3.5, 8.0)
STATES = {"unknown": UNKNOWN, "seen through": SEEN_THROUGH, "matched": MATCHED, "hidden": HIDDEN}
# As the shipped models look things up.
SPEC = VisibilitySpec(pool_rows=1)
# Ground spread: heights within this of the estimated ground, in steps of a centimetre.
GROUND_M, STEP_M = 0.3, 0.01
# Shadows: sectors of one degree, rings of a metre.
SECTORS, RINGS_M = 360, (4, 40)
# Cells of a metre and a degree with at least so many points above the ground can flicker.
CELL_POINTS, CELL_LAG = 5, 2


@dataclass(frozen=True)
class Curve:
    """One figure in several bands: the names of the bands and its values (NaN: no data)."""

    title: str
    bands: tuple[str, ...]
    values: Float64


@dataclass
class Counts:
    """Sums over scans; L lags, R range bands, H height bands, S states."""

    scans: int = 0
    density: Float64 = field(default_factory=lambda: np.zeros(len(DENSITY_EDGES_M)))
    ground: Float64 = field(
        default_factory=lambda: np.zeros((len(RANGE_EDGES_M) - 1, round(2 * GROUND_M / STEP_M)))
    )
    states: Float64 = field(
        default_factory=lambda: np.zeros(
            (len(SPEC.lags_s), len(RANGE_EDGES_M) - 1, len(HEIGHT_EDGES_M) - 1, len(STATES))
        )
    )
    offset: Float64 = field(default_factory=lambda: np.zeros((len(SPEC.lags_s), 2)))
    rings: Float64 = field(default_factory=lambda: np.zeros((RINGS_M[1] - RINGS_M[0], 2)))
    cells: Float64 = field(default_factory=lambda: np.zeros((len(RANGE_EDGES_M) - 1, 3)))
    ground_then: Float64 = field(default_factory=lambda: np.zeros((len(SPEC.lags_s), 3)))


def curves(c: Counts) -> list[Curve]:
    ranges = tuple(band_names(RANGE_EDGES_M, "m")[:-1])
    heights = tuple(band_names(HEIGHT_EDGES_M, "m")[:-1])
    lags = tuple(f"{lag:g} s ago" for lag in SPEC.lags_s)
    through = c.states[..., SEEN_THROUGH]
    known = c.states.sum(axis=-1) - c.states[..., UNKNOWN]
    upright = slice(2, None)  # height bands that are not ground or curbs
    curves = [
        Curve(
            "points a scan", tuple(band_names(DENSITY_EDGES_M, "m")), c.density / max(1, c.scans)
        ),
        Curve("ground spread, m", ranges, np.array([_spread(row) for row in c.ground])),
        Curve(
            "rings in shadow",
            tuple(f"{a}-{a + 9} m" for a in range(*RINGS_M, 9)),
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
    lag = CELL_LAG
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
    return float((high - low) / 2 * STEP_M)
