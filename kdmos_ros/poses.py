"""Bounded buffer of odometry poses with interpolation at a stamp. Never extrapolates."""

from __future__ import annotations

import bisect
import math
import threading
import time

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry import interpolate

Matrix = npt.NDArray[np.float64]

# What no ground vehicle exceeds between two poses; more is a jump of the pose source.
_MAX_ACCELERATION = 20.0  # m/s^2
_MAX_SPEED = 80.0  # m/s
# A stamp this far behind the newest one is a restarted clock, not a late message.
RESTART_NS = 1_000_000_000


class PoseBuffer:
    """Poses T_odom_base by stamp. All methods may be called from several threads.

    A jump (relocalisation, loop closure) or stamps that start anew make everything before them
    useless to interpolate with or to compare scans by: the buffer is emptied, and `generation`
    counts up so that users drop what they derived from older poses.

    Args:
        max_seconds: poses older than the newest one by more are forgotten.
        max_gap_s: no interpolation between neighbours further apart.
        max_jump_m: deviation from a motion without sudden changes that counts as a jump.

    Attributes:
        added, duplicates, out_of_order, expired, jumps, restarts: what happened to the poses;
            out-of-order poses are sorted in, duplicates and expired ones are dropped.
        generation: number of times that the buffer was emptied.
    """

    def __init__(
        self, max_seconds: float = 10.0, max_gap_s: float = 0.5, max_jump_m: float = math.inf
    ) -> None:
        self.max_seconds = max_seconds
        self.max_gap_s = max_gap_s
        self.max_jump_m = max_jump_m
        self.added = self.duplicates = self.out_of_order = self.expired = 0
        self.jumps = self.restarts = self.generation = 0
        self._stamps: list[int] = []
        self._poses: list[Matrix] = []
        self._changed = threading.Condition()
        self._interrupted = False

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_ns: int, pose: Matrix) -> None:
        """Add T_odom_base (4, 4) at a stamp.

        Raises:
            ValueError: the pose is not a finite (4, 4) matrix.
        """
        pose = np.array(pose, dtype=np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError("pose must be a finite (4, 4) matrix")
        pose.flags.writeable = False  # look-ups hand it out without a copy
        with self._changed:
            self._insert(stamp_ns, pose)
            self._changed.notify_all()

    def at(self, stamp_ns: int) -> Matrix:
        """Pose (4, 4) at a stamp: SLERP and linear between the neighbours, or the exact hit.

        Raises:
            PoseError: with the reason `empty`, `too_new` (it may still come), `too_old` or `gap`.
        """
        with self._changed:
            return self._look_up(stamp_ns)

    def wait(self, stamp_ns: int, timeout_s: float) -> tuple[Matrix, int]:
        """As `at`, but waits for the poses around the stamp; also returns the generation.

        Raises:
            PoseError: as `at`; what could still have come has the reason `timeout`.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    return self._look_up(stamp_ns), self.generation
                except PoseError as error:
                    if error.reason not in ("empty", "too_new"):
                        raise
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or self._interrupted:
                        raise PoseError("timeout", f"{error} within {timeout_s:g} s") from None
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

        If the poses have started anew already, they stay.
        """
        with self._changed:
            if self._stamps and self._stamps[-1] > stamp_ns + RESTART_NS:
                self._empty()

    def clear(self) -> None:
        """Forget all poses; the counters stay."""
        with self._changed:
            self._empty()

    def _empty(self) -> None:
        self._stamps.clear()
        self._poses.clear()
        self.generation += 1

    def _insert(self, stamp_ns: int, pose: Matrix) -> None:
        stamps = self._stamps
        if stamps and stamp_ns < stamps[-1] - RESTART_NS:
            self.restarts += 1
            self._empty()
        elif stamps and stamp_ns > stamps[-1] and self._jumped(stamp_ns, pose):
            self.jumps += 1
            self._empty()
        if stamps and stamp_ns <= stamps[-1]:
            self._insert_late(stamp_ns, pose)
            return
        stamps.append(stamp_ns)
        self._poses.append(pose)
        self.added += 1
        if math.isfinite(self.max_seconds):
            expired = bisect.bisect_left(stamps, stamp_ns - int(self.max_seconds * 1e9))
            del stamps[:expired], self._poses[:expired]

    def _insert_late(self, stamp_ns: int, pose: Matrix) -> None:
        index = bisect.bisect_left(self._stamps, stamp_ns)
        if self._stamps[index] == stamp_ns:
            self.duplicates += 1  # the first one stays: results may rest on it
        elif stamp_ns < self._stamps[-1] - self.max_seconds * 1e9:
            self.expired += 1
        else:
            self.out_of_order += 1
            self.added += 1
            self._stamps.insert(index, stamp_ns)
            self._poses.insert(index, pose)

    def _jumped(self, stamp_ns: int, pose: Matrix) -> bool:
        """Whether a new pose is off the course that the last two give."""
        dt = (stamp_ns - self._stamps[-1]) * 1e-9
        if math.isinf(self.max_jump_m) or dt > self.max_gap_s:
            return False  # across a gap nothing is interpolated anyway
        position = self._poses[-1][:3, 3]
        if len(self._stamps) < 2:
            distance = float(np.linalg.norm(pose[:3, 3] - position))
            return distance > self.max_jump_m + _MAX_SPEED * dt
        before = (self._stamps[-1] - self._stamps[-2]) * 1e-9
        velocity = (position - self._poses[-2][:3, 3]) / before
        deviation = float(np.linalg.norm(pose[:3, 3] - position - velocity * dt))
        # The velocity is the mean over the last interval: half an interval old already.
        return deviation > self.max_jump_m + 0.5 * _MAX_ACCELERATION * dt * (dt + before)

    def _look_up(self, stamp_ns: int) -> Matrix:
        stamps = self._stamps
        if not stamps:
            raise PoseError("empty", "no odometry received")
        index = bisect.bisect_left(stamps, stamp_ns)
        if index < len(stamps) and stamps[index] == stamp_ns:
            return self._poses[index]
        if index == len(stamps):
            ahead = (stamp_ns - stamps[-1]) * 1e-6
            raise PoseError("too_new", f"newest odometry is {ahead:.1f} ms before the scan")
        if index == 0:
            behind = (stamps[0] - stamp_ns) * 1e-6
            raise PoseError("too_old", f"oldest odometry kept is {behind:.1f} ms after the scan")
        gap = stamps[index] - stamps[index - 1]
        if gap > self.max_gap_s * 1e9:
            raise PoseError(
                "gap", f"odometry has a gap of {gap * 1e-9:.2f} s (limit {self.max_gap_s:g} s)"
            )
        fraction = (stamp_ns - stamps[index - 1]) / gap
        return interpolate(self._poses[index - 1], self._poses[index], fraction)
