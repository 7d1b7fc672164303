"""Poses in the order of their stamps, and the pose at a stamp between them."""

from __future__ import annotations

import bisect
import math

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import interpolate
from kdmos_ros.poses.jump_detection import Stamped, jump

Matrix = npt.NDArray[np.float64]

# Stamps that went through a double or another clock's ticks differ by less, and a robot moves by
# centimetres at most.
NEAR_NS = 1_000_000
# What is late or was kept for a while differs by less than clocks that nobody set alike.
_TWO_CLOCKS_NS = 5_000_000_000


def near_ns(spacing_ns: int | None) -> int:
    """How far a pose may be from a stamp and still be the pose at the stamp, nanoseconds.

    Where poses are dense, the next one is worth its wait.

    Args:
        spacing_ns: between the last two poses; None: there is one only.
    """
    return NEAR_NS if spacing_ns is None else min(NEAR_NS, spacing_ns // 10)


class Timeline:
    """Poses (4, 4) with their stamps and generations. Not for several threads.

    Args:
        name: what the poses come from, for messages.

    Attributes:
        stamps: nanoseconds, ascending. generations: of the poses.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stamps: list[int] = []
        self.generations: list[int] = []
        self._poses: list[Matrix] = []

    def put(self, index: int, new: Stamped, generation: int) -> None:
        """Insert a pose before the one at `index`."""
        self.stamps.insert(index, new.stamp_ns)
        self._poses.insert(index, new.pose)
        self.generations.insert(index, generation)

    def drop_first(self, count: int) -> None:
        """Forget the oldest poses."""
        del self.stamps[:count], self._poses[:count], self.generations[:count]

    def clear(self) -> None:
        """Forget all poses."""
        self.drop_first(len(self.stamps))

    def jump(
        self, new: Stamped, nearest: int, step: int, max_gap_s: float, max_jump_m: float
    ) -> str:
        """Why a pose does not go with those from `nearest` on, in steps of -1 or 1; else empty."""
        dt = abs(new.stamp_ns - self.stamps[nearest])
        if math.isinf(max_jump_m) or dt > max_gap_s * 1e9:
            return ""  # across a gap nothing is interpolated anyway
        # The speed over a time at least as long as the one to bridge, where there is one.
        farther, generation = nearest, self.generations[nearest]
        while abs(self.stamps[nearest] - self.stamps[farther]) < dt:
            beyond = farther + step
            if not 0 <= beyond < len(self.stamps) or self.generations[beyond] != generation:
                break
            farther = beyond
        known = Stamped(self.stamps[farther], self._poses[farther])
        return jump(
            new,
            Stamped(self.stamps[nearest], self._poses[nearest]),
            known if farther != nearest else None,
            max_jump_m,
        )

    def look_up(self, stamp_ns: int, max_gap_s: float) -> tuple[Matrix, int]:
        """Pose and generation at a stamp; see PoseBuffer.at."""
        stamps = self.stamps
        if not stamps:
            raise PoseError("empty", f"no {self.name} received")
        index = bisect.bisect_left(stamps, stamp_ns)
        if index < len(stamps) and stamps[index] == stamp_ns:
            return self._poses[index], self.generations[index]
        if index == len(stamps):
            ahead_ns = stamp_ns - stamps[-1]
            spacing = stamps[-1] - stamps[-2] if index > 1 else None
            if ahead_ns <= near_ns(spacing):
                return self._poses[-1], self.generations[-1]
            raise PoseError("too_new", self._apart(ahead_ns, "newest", "before", "ahead of"))
        if index == 0:
            behind_ns = stamps[0] - stamp_ns
            if behind_ns <= NEAR_NS:
                return self._poses[0], self.generations[0]
            raise PoseError("too_old", self._apart(behind_ns, "oldest", "after", "behind"))
        gap = stamps[index] - stamps[index - 1]
        if gap > max_gap_s * 1e9:
            nearest = (
                index if stamps[index] - stamp_ns < stamp_ns - stamps[index - 1] else index - 1
            )
            if abs(stamps[nearest] - stamp_ns) <= NEAR_NS:
                return self._poses[nearest], self.generations[nearest]
            raise PoseError(
                "gap", f"{self.name} has a gap of {gap * 1e-9:.2f} s (limit {max_gap_s:g} s)"
            )
        fraction = (stamp_ns - stamps[index - 1]) / gap
        pose = interpolate(self._poses[index - 1], self._poses[index], fraction)
        return pose, self.generations[index]

    def _apart(self, apart_ns: int, end: str, side: str, clocks: str) -> str:
        """Why the poses do not reach the stamp: late, over, or on another clock."""
        if apart_ns > _TWO_CLOCKS_NS:
            seconds = apart_ns * 1e-9
            return f"the clouds are {seconds:.1f} s {clocks} the {self.name}: two clocks?"
        return f"{end} {self.name} is {apart_ns * 1e-6:.1f} ms {side} the scan"
