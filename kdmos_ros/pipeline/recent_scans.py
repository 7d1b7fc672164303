"""The last scans as they came, for as long as it is not known how they are to be deskewed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.pipeline.localization import Location
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.scan import Scan

# No model looks back farther.
_KEPT_NS = 2_200_000_000


@dataclass(frozen=True)
class RecentScan:
    """A scan before deskewing, and the times of its points as the cloud says them."""

    scan: Scan
    times: PointTimes
    location: Location


class RecentScans:
    """Those of the last two seconds, oldest first."""

    def __init__(self) -> None:
        self._scans: deque[RecentScan] = deque()

    def __iter__(self) -> Iterator[RecentScan]:
        return iter(tuple(self._scans))

    def add(self, scan: Scan, times: PointTimes, location: Location) -> None:
        """Keep one, and drop those that are too old."""
        self._scans.append(RecentScan(scan, times, location))
        while scan.stamp_ns - self._scans[0].scan.stamp_ns > _KEPT_NS:
            self._scans.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._scans.clear()


def moved_to(scan: Scan, points: npt.NDArray[np.float32]) -> Scan:
    """The scan with its points, (N, 3), where deskewing moved them."""
    return Scan(points, scan.intensity, scan.stamp_ns, scan.pose, scan.base_T_sensor)
