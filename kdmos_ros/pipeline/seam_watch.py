"""Whether the sweeps of a spinning LiDAR begin in another direction each time. Free of ROS."""

from __future__ import annotations

import math

# The start of a sweep is known to a few degrees. What stays within that does little harm.
_WANDERS_RAD = math.radians(10.0)


class SeamWatch:
    """Sees where sweeps begin.

    A head whose turning is not locked to the clouds takes its points one after the other. What sees
    all points at once, as simulators do, always begins at the same place.

    Attributes:
        wanders: whether sweeps were seen to begin at places that lie apart.
    """

    def __init__(self) -> None:
        self.wanders = False
        self._first: float | None = None

    def add(self, azimuth: float) -> None:
        """A sweep begins at this azimuth, radians in the sensor frame."""
        if self._first is None:
            self._first = azimuth
        apart = abs(math.remainder(azimuth - self._first, 2 * math.pi))
        self.wanders = self.wanders or apart > _WANDERS_RAD
