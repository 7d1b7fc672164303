"""Bounded buffer of odometry poses with interpolation at a stamp."""

from __future__ import annotations

import bisect
import math
import threading
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import interpolate
from kdmos_ros.poses.jump_detection import Stamped, jump

Matrix = npt.NDArray[np.float64]

# A stamp this far behind the newest one is a restarted clock, not a late message.
RESTART_NS = 1_000_000_000
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


class FoundPose(NamedTuple):
    """What a look-up of a pose gives.

    Attributes:
        pose: (4, 4) float64 in the fixed frame.
        generation: poses of two generations have no known relation.
        why: what began the newest generation, one line.
    """

    pose: Matrix
    generation: int
    why: str


class PoseBuffer:
    """Poses T_odom_base by stamp. All methods may be called from several threads.

    A jump (relocalisation, loop closure) or stamps that start anew make everything before them
    useless to interpolate with or to compare scans by: the buffer is emptied. Nobody knows what
    the odometry did in a gap. After each of these, poses belong to a new generation, so that users
    drop what they derived from older ones.

    Args:
        max_seconds: poses older than the newest one by more are forgotten.
        max_gap_s: no interpolation between neighbours further apart.
        max_jump_m: deviation from a motion without sudden changes that counts as a jump, as does
            a sudden turn by 6 degrees; infinite: nothing does.
        name: what the poses come from, for messages.

    Attributes:
        added, duplicates, out_of_order, expired, outliers, gaps, jumps, restarts: what happened to
            the poses; out-of-order poses are sorted in; dropped are duplicates, expired ones and
            late ones that do not go with their neighbours (outliers).
        generation: of the newest pose.
        why: what began it, one line.
    """

    def __init__(
        self,
        max_seconds: float = 10.0,
        max_gap_s: float = 0.5,
        max_jump_m: float = math.inf,
        name: str = "odometry",
    ) -> None:
        self.max_seconds = max_seconds
        self.max_gap_s = max_gap_s
        self.max_jump_m = max_jump_m
        self.added = self.duplicates = self.out_of_order = self.expired = 0
        self.outliers = self.gaps = self.jumps = self.restarts = self.generation = 0
        self.why = ""
        self.name = name
        self._stamps: list[int] = []
        self._poses: list[Matrix] = []
        self._generations: list[int] = []
        self._changed = threading.Condition()
        self._interrupted = False
        # The stamps started anew and no pose was asked for since.
        self._restarted = False

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_ns: int, pose: Matrix) -> str:
        """Add T_odom_base (4, 4) at a stamp.

        Returns:
            What the user should know of it, one line; empty if all is well.

        Raises:
            ValueError: the pose is not a finite (4, 4) matrix.
        """
        pose = np.array(pose, dtype=np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError("pose must be a finite (4, 4) matrix")
        pose.flags.writeable = False  # look-ups hand it out without a copy
        with self._changed:
            notice = self._insert(Stamped(stamp_ns, pose))
            self._changed.notify_all()
        return notice

    def at(self, stamp_ns: int) -> Matrix:
        """Pose (4, 4) at a stamp: SLERP and linear between the neighbours, or the exact hit.

        Where a neighbour is missing or too far, the other one if it is next to the stamp: within
        1 ms, or a tenth of the poses' spacing at the new end, where another one may come.

        Raises:
            PoseError: with the reason `empty`, `too_new` (it may still come), `too_old` or `gap`.
        """
        with self._changed:
            return self._look_up(stamp_ns)[0]

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """As `at`, but waits for the poses around the stamp.

        Raises:
            PoseError: as `at`; what could still have come has the reason `timeout`.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    pose, generation = self._look_up(stamp_ns)
                    self._restarted = False
                    return FoundPose(pose, generation, self.why)
                except PoseError as error:
                    if error.reason not in ("empty", "too_new"):
                        raise
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or self._interrupted:
                        waited = f" (waited for {timeout_s:g} s)" if timeout_s else ""
                        raise PoseError("timeout", f"{error}{waited}") from None
                self._changed.wait(remaining)

    def interrupt(self) -> None:
        """Let every `wait` end without waiting until `resume`; for stopping the one who waits."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Undo `interrupt`."""
        with self._changed:
            self._interrupted = False

    def rewind(self, stamp_ns: int) -> None:
        """The users' clock was set back to this stamp: forget the poses of the time after it.

        If the poses have started anew already, they stay, however far they are ahead by now: a
        user that lags behind must not throw away what it is going to need.
        """
        with self._changed:
            if self._restarted:
                self._restarted = False
            elif self._stamps and self._stamps[-1] > stamp_ns + RESTART_NS:
                self._empty("time was set back")

    def clear(self, why: str = "the poses were cleared") -> None:
        """Forget all poses; the counters stay."""
        with self._changed:
            self._empty(why)

    def figures(self) -> dict[str, int]:
        """The counters by name."""
        names = ("added", "duplicates", "out_of_order", "expired", "outliers", "gaps", "jumps")
        return {name: getattr(self, name) for name in (*names, "restarts")}

    def _empty(self, why: str) -> None:
        self._stamps.clear()
        self._poses.clear()
        self._generations.clear()
        self._begin(why)

    def _begin(self, why: str) -> None:
        self.generation += 1
        self.why = why

    def _insert(self, new: Stamped) -> str:
        stamps, notice = self._stamps, ""
        if stamps and new.stamp_ns < stamps[-1] - RESTART_NS:
            self.restarts += 1
            behind = (stamps[-1] - new.stamp_ns) * 1e-9
            self._empty(notice := f"the {self.name}'s time went back by {behind:.1f} s")
            self._restarted = True
        if stamps and new.stamp_ns <= stamps[-1]:
            return self._insert_late(new)
        if stamps:
            ahead = (new.stamp_ns - stamps[-1]) * 1e-9
            if ahead > self.max_gap_s:
                self.gaps += 1
                self._begin(notice := f"the {self.name} had a gap of {ahead:.2f} s")
            elif reason := self._jump(new, len(stamps) - 1, -1):
                self.jumps += 1
                self._empty(notice := f"the {self.name} jumped: it {reason}")
        self._put(len(stamps), new, self.generation)
        if math.isfinite(self.max_seconds):
            expired = bisect.bisect_left(stamps, new.stamp_ns - int(self.max_seconds * 1e9))
            del stamps[:expired], self._poses[:expired], self._generations[:expired]
        return notice

    def _insert_late(self, new: Stamped) -> str:
        stamps = self._stamps
        index = bisect.bisect_left(stamps, new.stamp_ns)
        to_next = (stamps[index] - new.stamp_ns) * 1e-9
        to_last = (new.stamp_ns - stamps[index - 1]) * 1e-9 if index else math.inf
        if to_next == 0:
            self.duplicates += 1  # the first one stays: results may rest on it
            return ""
        too_old = new.stamp_ns < stamps[-1] - self.max_seconds * 1e9
        if too_old or (index == 0 and to_next > self.max_gap_s):
            self.expired += 1
            return ""
        # After a jump, poses from before it may still come.
        side = (index - 1, -1) if to_last <= self.max_gap_s else (index, 1)
        if reason := self._jump(new, *side):
            self.outliers += 1
            return f"a late pose of the {self.name} is left out: it {reason}"
        self.out_of_order += 1
        self._put(index, new, self._generations[side[0]])
        return ""

    def _put(self, index: int, new: Stamped, generation: int) -> None:
        self._stamps.insert(index, new.stamp_ns)
        self._poses.insert(index, new.pose)
        self._generations.insert(index, generation)
        self.added += 1

    def _jump(self, new: Stamped, nearest: int, step: int) -> str:
        """Why a pose does not go with those from `nearest` on, in steps of -1 or 1; else empty."""
        dt = abs(new.stamp_ns - self._stamps[nearest])
        if math.isinf(self.max_jump_m) or dt > self.max_gap_s * 1e9:
            return ""  # across a gap nothing is interpolated anyway
        # The speed over a time at least as long as the one to bridge, where there is one.
        farther, generation = nearest, self._generations[nearest]
        while abs(self._stamps[nearest] - self._stamps[farther]) < dt:
            beyond = farther + step
            if not 0 <= beyond < len(self) or self._generations[beyond] != generation:
                break
            farther = beyond
        known = Stamped(self._stamps[farther], self._poses[farther])
        return jump(
            new,
            Stamped(self._stamps[nearest], self._poses[nearest]),
            known if farther != nearest else None,
            self.max_jump_m,
        )

    def _apart(self, apart_ns: int, end: str, side: str, clocks: str) -> str:
        """Why the poses do not reach the stamp: late, over, or on another clock."""
        if apart_ns > _TWO_CLOCKS_NS:
            seconds = apart_ns * 1e-9
            return f"the clouds are {seconds:.1f} s {clocks} the {self.name}: two clocks?"
        return f"{end} {self.name} is {apart_ns * 1e-6:.1f} ms {side} the scan"

    def _look_up(self, stamp_ns: int) -> tuple[Matrix, int]:
        stamps = self._stamps
        if not stamps:
            raise PoseError("empty", f"no {self.name} received")
        index = bisect.bisect_left(stamps, stamp_ns)
        if index < len(stamps) and stamps[index] == stamp_ns:
            return self._poses[index], self._generations[index]
        if index == len(stamps):
            ahead_ns = stamp_ns - stamps[-1]
            spacing = stamps[-1] - stamps[-2] if index > 1 else None
            if ahead_ns <= near_ns(spacing):
                return self._poses[-1], self._generations[-1]
            raise PoseError("too_new", self._apart(ahead_ns, "newest", "before", "ahead of"))
        if index == 0:
            behind_ns = stamps[0] - stamp_ns
            if behind_ns <= NEAR_NS:
                return self._poses[0], self._generations[0]
            raise PoseError("too_old", self._apart(behind_ns, "oldest", "after", "behind"))
        gap = stamps[index] - stamps[index - 1]
        if gap > self.max_gap_s * 1e9:
            nearest = (
                index if stamps[index] - stamp_ns < stamp_ns - stamps[index - 1] else index - 1
            )
            if abs(stamps[nearest] - stamp_ns) <= NEAR_NS:
                return self._poses[nearest], self._generations[nearest]
            raise PoseError(
                "gap", f"{self.name} has a gap of {gap * 1e-9:.2f} s (limit {self.max_gap_s:g} s)"
            )
        fraction = (stamp_ns - stamps[index - 1]) / gap
        pose = interpolate(self._poses[index - 1], self._poses[index], fraction)
        return pose, self._generations[index]
