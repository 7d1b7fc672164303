"""What the last seconds showed: the evidence that complaints are judged by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.health.measures import Shift

WINDOW_S = 10.0


class Observation(NamedTuple):
    """What one scan showed.

    Attributes:
        stamp_ns: of the scan.
        moving: share of what stands on the ground that is called moving; None: nothing stands.
        heap: the largest share of returns at one distance, and that distance in metres.
        sectors: directions that hold returns, of measures.N_SECTORS.
        lean: slope (2,) of the ground in the base frame, radians; None: no ground is seen.
        jitter_m: how far this pose lies off what the two before it led to; None: there are none.
    """

    stamp_ns: int
    moving: float | None
    heap: tuple[float, float]
    sectors: int
    lean: npt.NDArray[np.float64] | None
    jitter_m: float | None


@dataclass
class Window:
    """The last WINDOW_S seconds, by stamps.

    Attributes:
        observations: of scans with returns.
        shifts: stamp in nanoseconds and shift, of pairs of scans.
        clouds: stamp in nanoseconds of every cloud, and whether it was empty.
        resets: stamp in nanoseconds and reason.
        usual_sectors: the most directions that ever held returns.
    """

    observations: deque[Observation] = field(default_factory=deque)
    shifts: deque[tuple[int, Shift]] = field(default_factory=deque)
    clouds: deque[tuple[int, bool]] = field(default_factory=deque)
    resets: deque[tuple[int, str]] = field(default_factory=deque)
    usual_sectors: int = 0

    def forget_before(self, newest_ns: int) -> None:
        """Drop what is older than the window, and, after time went back, what is newer."""
        oldest_ns = newest_ns - round(WINDOW_S * 1e9)
        for entries in (self.observations, self.shifts, self.clouds, self.resets):
            kept = [e for e in entries if oldest_ns <= e[0] <= newest_ns]
            entries.clear()
            entries.extend(kept)  # type: ignore[arg-type]
