"""Which scans of other times the newest one is compared with, and its points against theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.ground_alignment import Ground, align
from kdmos_ros.features.history import PastScan, ScanHistory, at_lead
from kdmos_ros.features.point_coordinates import Mount
from kdmos_ros.features.visibility import UNKNOWN, VisibilitySpec, look_up
from kdmos_ros.geometry.transforms import Matrix, invert
from kdmos_ros.scan import Scan
from kdmos_ros.thread_pool import Threads

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AtLag:
    """A scan to compare the newest one with.

    Attributes:
        lag: index of the lag that it is nearest to.
        scan: the other scan.
        now_from_then: (4, 4) float64 motion between the sensor frames.
    """

    lag: int
    scan: PastScan
    now_from_then: Matrix


@dataclass(frozen=True)
class Seen:
    """N points against the scans of L lags; columns without a scan are UNKNOWN and 0.

    Attributes:
        state: (N, L) uint8 of `visibility`; near, far: (N, L) float32 range differences, metres.
        n_compared: lags that had a scan.
    """

    state: npt.NDArray[np.uint8]
    near: Float32
    far: Float32
    n_compared: int = 0


def pasts_at(history: ScanHistory, scan: Scan, spec: VisibilitySpec) -> list[AtLag]:
    """The past scans to compare with."""
    found = [history.at_lag(scan.stamp_ns, lag_s) for lag_s in spec.lags_s]
    return [AtLag(i, past, _motion(scan, past)) for i, past in enumerate(found) if past is not None]


def leads_at(later: Sequence[PastScan], scan: Scan, spec: VisibilitySpec) -> list[AtLag]:
    """The later scans to compare with; their lags come after those of the past.

    Raises:
        ValueError: one of them is not later.
    """
    if any(other.stamp_ns <= scan.stamp_ns for other in later):
        raise ValueError(f"later scans must be newer than {scan.stamp_ns} ns")
    found = [at_lead(later, scan.stamp_ns, lead_s) for lead_s in spec.future_lags_s]
    first = len(spec.lags_s)
    return [
        AtLag(first + i, other, _motion(scan, other))
        for i, other in enumerate(found)
        if other is not None
    ]


def on_ground(others: Sequence[AtLag], now: Ground, mount: Mount, threads: Threads) -> list[AtLag]:
    """The same with motions that put their ground onto that of the newest scan."""

    def aligned(other: AtLag) -> AtLag:
        if other.scan.ground is None:
            return other
        motion = align(other.now_from_then, other.scan.ground, now, mount)
        return replace(other, now_from_then=motion)

    return [begun() for begun in [threads.begin(partial(aligned, other)) for other in others]]


def _motion(scan: Scan, other: PastScan) -> Matrix:
    return invert(scan.pose) @ other.pose


def compare(
    points: Float32, others: Sequence[AtLag], spec: VisibilitySpec, threads: Threads
) -> Seen:
    """Look the points (N, 3) of a scan up in the range images of others."""
    shape = (len(points), spec.n_lags)
    state = np.empty(shape, np.uint8, order="F")
    near, far = (np.empty(shape, np.float32, order="F") for _ in range(2))
    for lag in set(range(spec.n_lags)) - {other.lag for other in others}:
        state[:, lag], near[:, lag], far[:, lag] = UNKNOWN, 0, 0
    found = [(at.lag, at.scan.image, invert(at.now_from_then).astype(np.float32)) for at in others]

    def part(rows: slice) -> None:
        for lag, image, then_from_now in found:
            look_up(
                image,
                then_from_now,
                points[rows],
                spec.margin_m,
                spec.margin_per_m,
                state[rows, lag],
                near[rows, lag],
                far[rows, lag],
            )

    threads.in_parts(len(points), part)
    return Seen(state, near, far, len(others))
