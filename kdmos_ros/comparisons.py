"""Which scans of other times the newest one is compared with, and its points against theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import invert
from kdmos_ros.history import PastScan, ScanHistory, at_lead
from kdmos_ros.scan import Scan
from kdmos_ros.shared_work import Threads
from kdmos_ros.visibility import UNKNOWN, VisibilitySpec, look_up

Float32 = npt.NDArray[np.float32]
AtLag = tuple[int, PastScan]
"""The index of a lag, and the scan that is nearest to it."""


@dataclass(frozen=True)
class Seen:
    """N points against the scans of L lags; columns without a scan are UNKNOWN and 0.

    Attributes:
        state: (N, L) uint8 of `visibility`; near, far: (N, L) float32 range differences, metres.
    """

    state: npt.NDArray[np.uint8]
    near: Float32
    far: Float32


def pasts_at(history: ScanHistory, stamp_ns: int, spec: VisibilitySpec) -> list[AtLag]:
    """The past scans to compare with, each with the index of its lag."""
    found = [history.at_lag(stamp_ns, lag_s) for lag_s in spec.lags_s]
    return [(lag, past) for lag, past in enumerate(found) if past is not None]


def leads_at(later: Sequence[PastScan], stamp_ns: int, spec: VisibilitySpec) -> list[AtLag]:
    """The later scans to compare with, each with the index of its lag after those of the past.

    Raises:
        ValueError: one of them is not later.
    """
    if any(scan.stamp_ns <= stamp_ns for scan in later):
        raise ValueError(f"later scans must be newer than {stamp_ns} ns")
    found = [at_lead(later, stamp_ns, lead_s) for lead_s in spec.future_lags_s]
    n_past = len(spec.lags_s)
    return [(n_past + i, scan) for i, scan in enumerate(found) if scan is not None]


def compare(
    points: Float32, scan: Scan, others: Sequence[AtLag], spec: VisibilitySpec, threads: Threads
) -> Seen:
    """Look the points (N, 3) of a scan up in the range images of others."""
    shape = (len(points), spec.n_lags)
    state = np.full(shape, UNKNOWN, np.uint8, order="F")
    near = np.zeros(shape, np.float32, order="F")
    far = np.zeros(shape, np.float32, order="F")
    found = [(lag, at, (invert(at.pose) @ scan.pose).astype(np.float32)) for lag, at in others]

    def part(rows: slice) -> None:
        for lag, other, other_from_now in found:
            look_up(
                other.image,
                other_from_now,
                points[rows],
                spec.margin_m,
                spec.margin_per_m,
                state[rows, lag],
                near[rows, lag],
                far[rows, lag],
            )

    threads.in_parts(len(points), part)
    return Seen(state, near, far)
