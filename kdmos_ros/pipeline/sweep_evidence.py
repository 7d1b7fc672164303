"""What pairs of sweeps say of the times of their points: whether they fit, and to which stamp.

Free of ROS. See `pointcloud/sweep_match.py` for how two sweeps are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.pointcloud.sweep_match import Structure, SweepMatch, lay_over, match_sweeps

Matrix = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

# Two sweeps are compared once the sensor has moved so far, and not after a longer time.
_MOVED_M, _TURNED_RAD, _LONGEST_NS = 2.0, 0.35, 2_000_000_000
_FEWEST, _USUAL, _MOST = 3, 5, 40
# Odometry as it is, between two sweeps: metres, metres, radians; farther off counts less and less.
_POSE_NOISE = np.array([0.05, 0.05, 0.004])
_OUTLIER = 10.0
# Of the pairs, so many must agree, and their mean must be so many standard errors from zero.
# (Student's t, 97.5 %, for that many values.)
_AGREEING, _ERRORS = 0.75, {2: 12.7, 3: 4.3, 4: 3.2, 5: 2.8}
_MANY_ERRORS = 2.5
# A difference between misfits that says something.
_TELLING = 0.1
_SURE = 1.0
# The share of the motion that sweeps of right times show, and a precise one.
_LEAST, _GREATEST = 0.8, 1.3
_SCALE_ERROR = 0.1


@dataclass(frozen=True)
class Sweep:
    """One sweep's structure.

    Attributes:
        stamp_ns: its stamp. pose: (4, 4) T_odom_lidar at it.
        velocity: (3,) x, y (m/s, fixed frame) and yaw (rad/s) of the sensor during the sweep.
        structures: by the name of each hypothesis on the points' times; the first one is on trial.
    """

    stamp_ns: int
    pose: Matrix
    velocity: Matrix
    structures: Mapping[str, Structure]


class SweepEvidence:
    """Collects evidence on hypotheses about the times of points.

    Attributes:
        n_pairs: so many pairs of sweeps were compared.
        fit_is_known: whether only the stamps are still of interest, which costs less.
    """

    def __init__(self) -> None:
        self.n_pairs = 0
        self.fit_is_known = False
        self._old: Sweep | None = None
        self._matches: list[SweepMatch] = []
        # By how much sweeps fit better deskewed than as they come.
        self._gains: list[float] = []
        self._misfits: list[dict[str, float]] = []

    @property
    def is_full(self) -> bool:
        """Whether more pairs would not tell either."""
        return self.n_pairs >= _MOST

    def wants(self, stamp_ns: int, pose: Matrix) -> bool:
        """Whether a sweep is far enough from the last one; pose: (4, 4) T_odom_lidar."""
        old = self._old
        if old is None or not 0 < stamp_ns - old.stamp_ns <= _LONGEST_NS:
            return True
        moved = np.linalg.norm(pose[:3, 3] - old.pose[:3, 3])
        cosine = (np.trace(pose[:3, :3].T @ old.pose[:3, :3]) - 1) / 2
        return bool(moved >= _MOVED_M or cosine <= np.cos(_TURNED_RAD))

    def forget_last(self) -> None:
        """The next sweep is not to be compared with those before it."""
        self._old = None

    def add(self, new: Sweep, sweep_s: float) -> None:
        """Compare a sweep with the last one, if that is not too old.

        Args:
            sweep_s: how long a sweep takes, seconds.
        """
        old, self._old = self._old, new
        if old is None or not 0 < new.stamp_ns - old.stamp_ns <= _LONGEST_NS:
            return
        names = [name for name in new.structures if name in old.structures]
        shift = old.pose[:3, 3] - new.pose[:3, 3]
        self.n_pairs += 1
        telling = len(names) > 1 and _tells_stamps_apart(old, new, sweep_s)
        if self.fit_is_known:
            if telling:
                self._add_misfits(old, new, names, shift)
            return
        match = match_sweeps(old.structures[names[0]], new.structures[names[0]], shift)
        if match is None:
            return
        gains = [match.raw_cost - match.moved_cost]
        if telling or (len(names) > 1 and gains[0] <= 0):
            # A wrong stamp must not pass for deskewed sweeps.
            costs = self._add_misfits(old, new, names, shift)
            gains += [match.raw_cost - cost for cost in costs]
        self._matches.append(match)
        self._gains.append(max(gains))

    def _add_misfits(self, old: Sweep, new: Sweep, names: list[str], shift: Matrix) -> list[float]:
        """Compare the stamps; returns what it costs to deskew by each of them."""
        laid = {n: lay_over(old.structures[n], new.structures[n], shift) for n in names}
        found = {name: overlay for name, overlay in laid.items() if overlay is not None}
        self._misfits.append({name: _misfit(o.pose_error) for name, o in found.items()})
        return [overlay.cost for overlay in found.values()]

    def fits(self) -> bool | None:
        """Whether the points were taken at the times on trial; None: not known as yet.

        False: the sweeps fit together as they come, and not when they are deskewed.
        """
        if len(self._matches) < _FEWEST:
            return None
        gain = np.array(self._gains)
        if _agree(-gain):
            return False
        if len(self._matches) < _USUAL:
            return None
        scale, error = _mean_scale(self._matches)
        right = error < _SCALE_ERROR and _LEAST <= scale <= _GREATEST
        return True if right and gain.mean() > 0 else None

    def improves(self) -> bool:
        """Whether deskewed sweeps surely fit better than those as they come."""
        return bool(self.fits()) and _agree(np.array(self._gains))

    def better_stamp(self) -> str:
        """The hypothesis that the poses surely fit better than any other one; empty: none."""
        for name in {name for found in self._misfits for name in found}:
            both = [found for found in self._misfits if name in found]
            gain = np.array(
                [min(v for n, v in found.items() if n != name) - found[name]
                 for found in both if len(found) > 1]
            )  # fmt: skip
            gain = gain[np.abs(gain) > _TELLING]
            if len(gain) >= _FEWEST and gain.sum() > _SURE and _agree(gain):
                return name
        return ""


def _tells_stamps_apart(old: Sweep, new: Sweep, sweep_s: float) -> bool:
    """Whether the motion changed by so much that half a sweep's shift in time shows."""
    way = new.pose[:2, 3] - old.pose[:2, 3]
    change = old.velocity - new.velocity
    change[:2] += old.velocity[2] * np.array([-way[1], way[0]])
    return bool(np.sum((change * sweep_s / 2 / _POSE_NOISE) ** 2) > 1)


def _agree(gain: Matrix) -> bool:
    """Whether values (n,) are surely above zero; single large ones do not decide."""
    gain = np.sign(gain) * np.sqrt(np.abs(gain))
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return bool(
        np.mean(gain > 0) >= _AGREEING
        and gain.mean() > _ERRORS.get(len(gain), _MANY_ERRORS) * error
    )


def _misfit(error: Matrix) -> float:
    """How far a pose is from where the sweeps fit, robustly; 0 is perfect."""
    squared = float(np.sum((error / _POSE_NOISE) ** 2))
    return squared / (1 + squared / _OUTLIER)


def _mean_scale(matches: list[SweepMatch]) -> tuple[float, float]:
    """Weighted mean and its standard error."""
    scale = np.array([m.scale for m in matches])
    weight = np.clip([m.information for m in matches], 0, 1 / _SCALE_ERROR**2)
    total = float(weight.sum())
    if total <= 0:
        return 0.0, np.inf
    mean = float(weight @ scale) / total
    spread = float(np.sqrt(np.sum((weight * (scale - mean)) ** 2))) / total
    return mean, max(spread, total**-0.5)
