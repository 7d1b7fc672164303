"""Deskewing: every point is moved to where the sensor would have seen it at the cloud's stamp.

A sweep takes a tenth of a second, in which a car moves by metres. The sensor's motion is taken at
a few knots over the sweep and is linear between them; the world is taken as standing still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.geometry.transforms import invert

Matrix = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

# Turning at 2 rad/s, the chord between two knots is off by 3 mm at 50 m.
KNOT_S = 0.01


def knot_times(first: float, last: float) -> Matrix:
    """Times (K,), K >= 2, from the first to the last point, at most KNOT_S apart; seconds."""
    count = 1 + max(1, math.ceil((last - first) / KNOT_S))
    return np.linspace(first, last, count, dtype=np.float64)


def sensor_motion(odom_T_sensor: Sequence[Matrix], at_stamp: Matrix) -> Matrix:
    """T_stamp_knot (K, 4, 4) between sensor frames: from the knots' poses to that at the stamp.

    Args:
        odom_T_sensor: K poses (4, 4) at the knots.
        at_stamp: (4, 4) T_odom_sensor at the cloud's stamp.
    """
    return invert(at_stamp) @ np.stack(odom_T_sensor)


def deskew(points: Float32, seconds: Float32, knots: Matrix, motion: Matrix) -> Float32:
    """Points (N, 3) float32 as seen at the cloud's stamp, in the same order.

    Rows without a return stay as they are. Points whose time is not finite or not between the
    knots become NaN: nothing is extrapolated.

    Args:
        points: (N, 3) float32, each in the sensor frame of its own time, metres.
        seconds: (N,) float32 time of each point after the stamp.
        knots: (K,) times after the stamp, evenly spaced, K >= 2.
        motion: (K, 4, 4) of `sensor_motion`.

    Raises:
        ValueError: times or motion do not match points or knots.
    """
    if seconds.shape != (len(points),) or motion.shape != (len(knots), 4, 4) or len(knots) < 2:
        raise ValueError(
            f"{len(points)} points with {seconds.shape} times, {len(knots)} knots with motion "
            f"{motion.shape}"
        )
    matrices = np.ascontiguousarray(motion[:, :3], np.float32)
    moved: Float32 = _move(points, seconds, knots[0], knots[-1], matrices)
    return moved


@njit(cache=True, nogil=True)
def _move(points, seconds, first, last, motion):  # type: ignore[no-untyped-def]
    moved = np.empty((len(points), 3), np.float32)
    segments = len(motion) - 1
    scale = segments / (last - first) if last > first else 0.0
    slack = 1e-6  # times are rounded to float32
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        squared = x * x + y * y + z * z
        if not (squared > 0 and squared < np.inf):
            moved[i, 0], moved[i, 1], moved[i, 2] = x, y, z
            continue
        t = seconds[i]
        if not (first - slack <= t <= last + slack):  # NaN fails too
            moved[i, 0], moved[i, 1], moved[i, 2] = np.nan, np.nan, np.nan
            continue
        u = min(max((t - first) * scale, 0.0), float(segments))
        k = min(int(u), segments - 1)
        f = np.float32(u - k)
        a, b = motion[k], motion[k + 1]
        for row in range(3):
            before = a[row, 0] * x + a[row, 1] * y + a[row, 2] * z + a[row, 3]
            after = b[row, 0] * x + b[row, 1] * y + b[row, 2] * z + b[row, 3]
            moved[i, row] = before + f * (after - before)
    return moved
