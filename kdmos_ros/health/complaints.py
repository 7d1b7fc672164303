"""What can be wrong with the inputs, how it is told, and what to look at.

Thresholds are chosen so that no good recording complains and that the faults of
docs/health.md do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from kdmos_ros.health.measures import N_SECTORS, Shift
from kdmos_ros.health.window import WINDOW_S, Window

# A figure needs so many scans, or pairs of them, before it is believed.
_SCANS, _PAIRS = 10, 3
_MUCH_MOVES = 0.5
_STANDING_M, _STANDING_SEEN_THROUGH = 0.05, 0.2
_MUCH_SEEN_THROUGH = 0.3
# Headings are measured on pairs of scans that far apart, and in sum.
_STEP_M, _FAR_ENOUGH_M, _MOST_YAW_DEG = 0.5, 4.0, 1.8
_MOST_LEAN_DEG = 4.0
_MOST_JITTER_M = 0.15
_MANY_RESETS = 4
_FEW_CLOUDS, _MOSTLY_EMPTY = 5, 0.5
_MOST_HEAPED = 0.4
_VIEW_LEFT = 0.6


class Level(Enum):
    """How bad it is: labels may be wrong here and there, or cannot be right."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Complaint:
    """One thing that does not hold.

    Attributes:
        cause: short name, a key of CHECKS.
        level: how bad it is.
        text: one line with the likely cause and what to look at.
    """

    cause: str
    level: Level
    text: str


Check = Callable[[Window], tuple[Level, str] | None]


def complaints(window: Window) -> list[Complaint]:
    """Everything that is wrong, the worst first."""
    found = [
        Complaint(cause, *answer)
        for cause, check in CHECKS.items()
        if (answer := check(window)) is not None
    ]
    return sorted(found, key=lambda complaint: complaint.level is not Level.ERROR)


def _pairs(window: Window) -> list[Shift]:
    return [shift for _, shift in window.shifts]


def _much_moves(window: Window) -> tuple[Level, str] | None:
    shares = [o.moving for o in window.observations if o.moving is not None]
    if len(shares) < _SCANS or (share := float(np.median(shares))) < _MUCH_MOVES:
        return None
    return Level.ERROR, (
        f"{share:.0%} of what stands on the ground is called moving: the poses or the mount are "
        "most likely wrong; check the odometry (odom, pose_source) and base_to_lidar or /tf_static"
    )


def _odometry_frozen(window: Window) -> tuple[Level, str] | None:
    pairs = _pairs(window)
    if len(pairs) < _PAIRS or max(p.step_m for p in pairs) > _STANDING_M:
        return None
    share = float(np.median([p.seen_through for p in pairs]))
    if share < _STANDING_SEEN_THROUGH:
        return None
    return Level.ERROR, (
        f"the odometry stands still, yet {share:.0%} of what is seen stands where free space was "
        "just before: either it is frozen (odom, pose_source), or nearly everything around moves"
    )


def _poses_do_not_fit(window: Window) -> tuple[Level, str] | None:
    pairs = [p for p in _pairs(window) if p.step_m > _STANDING_M]
    if len(pairs) < _PAIRS:
        return None
    share = float(np.median([p.seen_through for p in pairs]))
    if share < _MUCH_SEEN_THROUGH:
        return None
    return Level.WARNING, (
        f"{share:.0%} of what is seen stands where free space was just before: the poses do not "
        "fit the clouds; check base_to_lidar or /tf_static, the clocks of LiDAR and odometry, and "
        "deskew"
    )


def _mount_yaw(window: Window) -> tuple[Level, str] | None:
    pairs = [p for p in _pairs(window) if p.step_m > _STEP_M]
    way = sum(p.step_m for p in pairs)
    if len(pairs) < _PAIRS or way < _FAR_ENOUGH_M:
        return None
    degrees = math.degrees(math.atan2(sum(p.sideways_m for p in pairs), way))
    if abs(degrees) < _MOST_YAW_DEG:
        return None
    side = "left" if degrees < 0 else "right"
    return Level.WARNING, (
        "what stands still drifts sideways as if the LiDAR were turned by roughly "
        f"{abs(degrees):.0f} degrees to the {side} of its mount: check the yaw in "
        "base_to_lidar or /tf_static, and that the odometry is that of base_frame"
    )


def _mount_tilt(window: Window) -> tuple[Level, str] | None:
    leans = [o.lean for o in window.observations if o.lean is not None]
    if len(leans) < _SCANS:
        return None
    along_x, along_y = np.degrees(np.median(leans, axis=0))
    if math.hypot(along_x, along_y) < _MOST_LEAN_DEG:
        return None
    return Level.WARNING, (
        f"the ground rises by {round(along_x)} degrees ahead and {round(along_y)} to the left of "
        "the base frame, all the time: check roll and pitch in base_to_lidar or /tf_static, and "
        "that base_frame is level"
    )


def _pose_jitter(window: Window) -> tuple[Level, str] | None:
    jumps = [o.jitter_m for o in window.observations if o.jitter_m is not None]
    if len(jumps) < _SCANS or (jump := float(np.median(jumps))) < _MOST_JITTER_M:
        return None
    return Level.WARNING, (
        f"the poses jump by {jump:.2f} m from scan to scan: a rough odometry, or two sources of "
        "one transform; pose_source:=kiss_icp takes poses from the clouds instead"
    )


def _many_resets(window: Window) -> tuple[Level, str] | None:
    if len(window.resets) < _MANY_RESETS:
        return None
    return Level.WARNING, (
        f"the history was cleared {len(window.resets)} times within {WINDOW_S:.0f} s, and without "
        f"a history nothing is called moving; the last reason: {window.resets[-1][1]}"
    )


def _empty_clouds(window: Window) -> tuple[Level, str] | None:
    empty = sum(is_empty for _, is_empty in window.clouds)
    if empty < _FEW_CLOUDS or empty < _MOSTLY_EMPTY * len(window.clouds):
        return None
    return Level.WARNING, (
        f"{empty} of the last {len(window.clouds)} clouds hold no return: check the LiDAR, its "
        "driver, and min_range and max_range"
    )


def _heaped_returns(window: Window) -> tuple[Level, str] | None:
    heaps = [o.heap for o in window.observations]
    if len(heaps) < _SCANS:
        return None
    share, distance = np.median(heaps, axis=0)
    if share < _MOST_HEAPED:
        return None
    return Level.WARNING, (
        f"{share:.0%} of the returns lie {distance:.1f} m from the LiDAR: something covers it, or "
        "its driver reports what it does not see as this distance (min_range leaves it out)"
    )


def _view_lost(window: Window) -> tuple[Level, str] | None:
    counts = [o.sectors for o in window.observations]
    if len(counts) < _SCANS or (left := float(np.median(counts))) >= (
        _VIEW_LEFT * window.usual_sectors
    ):
        return None
    return Level.WARNING, (
        f"returns come from {left:.0f} of {N_SECTORS} directions, and came from "
        f"{window.usual_sectors}: something covers the LiDAR, or the driver loses packets"
    )


CHECKS: dict[str, Check] = {
    "everything_moves": _much_moves,
    "odometry_frozen": _odometry_frozen,
    "poses_do_not_fit": _poses_do_not_fit,
    "mount_yaw": _mount_yaw,
    "mount_tilt": _mount_tilt,
    "pose_jitter": _pose_jitter,
    "many_resets": _many_resets,
    "empty_clouds": _empty_clouds,
    "heaped_returns": _heaped_returns,
    "view_lost": _view_lost,
}
"""Cause: what finds it in a window."""
