"""Bounded buffer of odometry poses, which one thread fills and another one asks."""

from __future__ import annotations

import bisect
import math
import threading
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.poses.jump_detection import Stamped
from kdmos_ros.poses.timeline import Timeline

Matrix = npt.NDArray[np.float64]

# A stamp this far behind the newest one is a restarted clock, not a late message.
RESTART_NS = 1_000_000_000


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
        self._timeline = Timeline(name)
        self._changed = threading.Condition()
        self._interrupted = False
        # The stamps started anew and no pose was asked for since.
        self._restarted = False

    def __len__(self) -> int:
        return len(self._timeline.stamps)

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
            return self._timeline.look_up(stamp_ns, self.max_gap_s)[0]

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """As `at`, but waits for the poses around the stamp.

        Raises:
            PoseError: as `at`; what could still have come has the reason `timeout`.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    pose, generation = self._timeline.look_up(stamp_ns, self.max_gap_s)
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
            elif (stamps := self._timeline.stamps) and stamps[-1] > stamp_ns + RESTART_NS:
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
        self._timeline.clear()
        self._begin(why)

    def _begin(self, why: str) -> None:
        self.generation += 1
        self.why = why

    def _insert(self, new: Stamped) -> str:
        stamps, notice = self._timeline.stamps, ""
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
            self._timeline.drop_first(expired)
        return notice

    def _insert_late(self, new: Stamped) -> str:
        stamps = self._timeline.stamps
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
        self._put(index, new, self._timeline.generations[side[0]])
        return ""

    def _put(self, index: int, new: Stamped, generation: int) -> None:
        self._timeline.put(index, new, generation)
        self.added += 1

    def _jump(self, new: Stamped, nearest: int, step: int) -> str:
        return self._timeline.jump(new, nearest, step, self.max_gap_s, self.max_jump_m)
