"""The rays of a recorded scan: those that returned, and those that did not although they were shot.

A scan holds returns alone. Where neighbouring returns of a column are farther apart in elevation
than this sensor's beams are, beams between them were lost, into the sky or on what scatters too
little: they are put back, so that what is cast in front of the sky is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.sim.sensors import Rays

Floats = npt.NDArray[np.float32]
_COLUMNS = 1800
_APART = 1.6  # of the usual distance, from which on a beam was lost between two
_LEAST_DEG = 0.05  # closer together in a column are two shots of one beam


@dataclass(frozen=True)
class BeamSpacing:
    """Distance between a sensor's beams (radians) at elevations (K,), ascending, and its highest
    beam."""

    elevation: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    highest: float

    def at(self, elevation: Floats) -> npt.NDArray[np.float64]:
        """Distance (N,) at elevations (N,)."""
        return np.interp(elevation, self.elevation, self.distance)


@dataclass(frozen=True)
class RecordedRays:
    """Rays of a scan.

    Attributes:
        rays: directions by column and elevation, see `Rays`.
        ranges: (N,) float32 metres: of the return, or up to where a lost ray was free.
        point: (N,) int64 row of the return in the scan, -1 for lost rays.
    """

    rays: Rays
    ranges: Floats
    point: npt.NDArray[np.int64]


def _sorted(points: Floats) -> tuple[npt.NDArray[np.int64], ...]:
    """Rows with a return by column and elevation, their columns; elevation and range of all."""
    squared = (points.astype(np.float64) ** 2).sum(axis=1)
    (rows,) = np.nonzero(np.isfinite(squared) & (squared > 0.01))
    column = np.floor((np.arctan2(points[rows, 1], points[rows, 0]) + np.pi)
                      * (_COLUMNS / (2 * np.pi))).astype(np.int64) % _COLUMNS  # fmt: skip
    elevation = np.arcsin(points[rows, 2] / np.sqrt(squared[rows]))
    order = np.lexsort((elevation, column))
    return rows[order], column[order], elevation[order], np.sqrt(squared[rows[order]])


def beam_spacing(clouds: list[Floats]) -> BeamSpacing:
    """The spacing of a sensor's beams, from some of its scans (N, 3) in its frame."""
    gaps, at, highest = [], [], []
    for points in clouds:
        _, column, elevation, _ = _sorted(points)
        gap = np.diff(elevation)
        same = (np.diff(column) == 0) & (gap > np.deg2rad(_LEAST_DEG))
        gaps.append(gap[same])
        at.append(elevation[:-1][same])
        highest.append(np.quantile(elevation, 0.9995) if len(elevation) else 0.0)
    gap, where = np.concatenate(gaps), np.concatenate(at)
    degree = np.floor(np.rad2deg(where)).astype(int)
    kept = [d for d in np.unique(degree) if (degree == d).sum() >= 200]
    if not kept:  # too few to say
        return BeamSpacing(np.zeros(1), np.full(1, np.inf), float(max(highest, default=0.0)))
    distance = np.array([np.median(gap[degree == d]) for d in kept])
    return BeamSpacing(np.deg2rad(np.array(kept) + 0.5), distance, float(max(highest)))


def recorded_rays(points: Floats, spacing: BeamSpacing, max_range: float) -> RecordedRays:
    """The rays of a scan (N, 3) in the sensor's frame.

    A lost ray between two returns is free as far as the farther one, for a lost one on a window
    goes no farther than the car; one above all returns of its column is free to max_range.
    """
    rows, column, elevation, ranges = _sorted(points)
    above = np.append(elevation[1:], 0.0)
    last = np.append(np.diff(column) != 0, True)
    above[last] = np.maximum(elevation[last], spacing.highest)
    usual = spacing.at(elevation.astype(np.float32))
    gap = above - elevation
    lost = np.where(gap > _APART * usual, np.rint(gap / usual) - 1 + last, 0).astype(np.int64)
    free = np.where(last, max_range, np.maximum(ranges, np.append(ranges[1:], 0.0)))
    k = np.repeat(np.arange(len(rows)), lost)
    number = np.arange(len(k)) - np.repeat(np.cumsum(lost) - lost, lost) + 1
    between = elevation[k] + gap[k] * number / (lost[k] + ~last[k])
    x, y = points[rows, 0], points[rows, 1]
    azimuth = np.arctan2(y, x)
    azimuth = np.concatenate([azimuth, azimuth[k]]).astype(np.float32)
    all_elevations = np.concatenate([elevation, between]).astype(np.float32)
    columns = np.concatenate([column, column[k]])
    order = np.lexsort((all_elevations, columns))
    level = np.cos(all_elevations)
    directions = np.stack(
        [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(all_elevations)], axis=-1
    )
    directions[: len(rows)] = points[rows] / ranges[:, None]
    rays = Rays(
        directions=np.ascontiguousarray(directions[order]),
        elevations=all_elevations[order],
        fractions=np.zeros(len(order), np.float32),
        bin_start=np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=_COLUMNS))]),
        first_azimuth=-np.pi + np.pi / _COLUMNS,
        stride=0,
    )
    reach = np.concatenate([ranges, free[k]]).astype(np.float32)
    point = np.concatenate([rows, np.full(len(k), -1, np.int64)])
    return RecordedRays(rays, reach[order], point[order])
