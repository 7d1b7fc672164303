"""The residual-scan buffer: past scans as range images, chosen by age in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.ground_alignment import Ground
from kdmos_ros.features.height_residual import PastPoints
from kdmos_ros.features.range_image import RangeImage
from kdmos_ros.features.vacated import Voxels

# A past scan may be this much off the wanted age: 30 % and 50 ms, so that every rate fits, and that
# the second scan of a 10 Hz sensor can already be compared with the first. The nearest one counts.
_RELATIVE_TOLERANCE = 0.3
_ABSOLUTE_TOLERANCE_S = 0.05


@dataclass(frozen=True)
class PastScan:
    """A past scan: stamp (ns), T_odom_sensor (4, 4) float64, its range image and voxels.

    And its points, where height residuals are used, and its ground, where scans are aligned by it.
    """

    stamp_ns: int
    pose: npt.NDArray[np.float64]
    image: RangeImage
    voxels: Voxels | None = None
    points: PastPoints | None = None
    ground: Ground | None = None


class ScanHistory:
    """Past scans up to a maximum age, and the first that is older; others are forgotten.

    Args:
        max_age_s: the longest lag that will be asked for, seconds.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_ns = int(max_age_s * 1e9)
        self._scans: deque[PastScan] = deque()

    def __len__(self) -> int:
        return len(self._scans)

    def clear(self) -> None:
        """Forget everything."""
        self._scans.clear()

    def check(self, stamp_ns: int) -> None:
        """Raise ValueError unless a stamp is newer than the last one (reset first)."""
        if self._scans and stamp_ns <= self._scans[-1].stamp_ns:
            raise ValueError(
                f"scan at {stamp_ns} ns is not newer than {self._scans[-1].stamp_ns} ns"
            )

    def add(self, scan: PastScan) -> None:
        """Keep a scan; raises ValueError as `check` does."""
        self.check(scan.stamp_ns)
        self._scans.append(scan)
        # Of those that are old enough, the newest is nearer to any lag, now and later.
        while len(self._scans) > 1 and scan.stamp_ns - self._scans[1].stamp_ns >= self._max_age_ns:
            self._scans.popleft()

    @property
    def newest(self) -> PastScan | None:
        """The scan that was added last."""
        return self._scans[-1] if self._scans else None

    def at_lag(self, stamp_ns: int, lag_s: float) -> PastScan | None:
        """The scan whose age at stamp_ns is nearest to lag_s, or None if none is near enough."""
        past = [s for s in self._scans if s.stamp_ns < stamp_ns]
        return _nearest(past, stamp_ns - int(lag_s * 1e9), lag_s)


def at_lead(later: Sequence[PastScan], stamp_ns: int, lead_s: float) -> PastScan | None:
    """The scan of those after stamp_ns that is nearest to lead_s later, or None, as `at_lag`."""
    return _nearest(later, stamp_ns + int(lead_s * 1e9), lead_s)


def _nearest(scans: Sequence[PastScan], wanted: int, lag_s: float) -> PastScan | None:
    best = min(scans, key=lambda s: abs(s.stamp_ns - wanted), default=None)
    if best is None or abs(best.stamp_ns - wanted) > lag_tolerance_s(lag_s) * 1e9:
        return None
    return best


def lag_tolerance_s(lag_s: float) -> float:
    """How far off the wanted age lag_s a scan may be, seconds."""
    return _RELATIVE_TOLERANCE * lag_s + _ABSOLUTE_TOLERANCE_S
