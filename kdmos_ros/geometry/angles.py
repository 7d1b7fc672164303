"""Angles in float32 that compilers can work out for many points at once, unlike the library's."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# The kernels work in float32 throughout: a float64 constant would widen every operation.
PI = np.float32(math.pi)
_HALF_PI = np.float32(math.pi / 2)
_QUARTER_PI = np.float32(math.pi / 4)
_TAN_PI_8 = np.float32(math.tan(math.pi / 8))
_TINY = np.float32(1e-20)
_ONE = np.float32(1)


@njit(nogil=True, inline="always")
def coarse_atan2(y, x):  # type: ignore[no-untyped-def]
    """Angle of (x, y), radians, to 0.1 millirad; of (0, 0): 0, of NaN: NaN.

    A minimax polynomial of atan on 0..1, unfolded by octants (Abramowitz and Stegun 4.4.49).
    """
    ax, ay = abs(x), abs(y)
    low = ax if ax < ay else ay
    high = ay if ax < ay else ax
    a = low / (high if high > _TINY else _TINY)
    s = a * a
    r = np.float32(0.0208351)
    r = r * s - np.float32(0.0851330)
    r = r * s + np.float32(0.1801410)
    r = r * s - np.float32(0.3302995)
    r = (r * s + np.float32(0.9998660)) * a
    r = _HALF_PI - r if ay > ax else r
    r = PI - r if x < 0 else r
    return -r if y < 0 else r


@njit(nogil=True, inline="always")
def fine_atan2(y, x):  # type: ignore[no-untyped-def]
    """Angle of (x, y), radians, to 0.5 microrad; of (0, 0): 0, of NaN: NaN.

    The polynomial of Cephes' atanf (Moshier, 1989) on 0..tan(pi/8), unfolded.
    """
    ax, ay = abs(x), abs(y)
    low = ax if ax < ay else ay
    high = ay if ax < ay else ax
    a = low / (high if high > _TINY else _TINY)
    beyond = a > _TAN_PI_8
    a = (a - _ONE) / (a + _ONE) if beyond else a
    s = a * a
    r = np.float32(8.05374449538e-2)
    r = r * s - np.float32(1.38776856032e-1)
    r = r * s + np.float32(1.99777106478e-1)
    r = r * s - np.float32(3.33329491539e-1)
    r = r * s * a + a
    r = r + _QUARTER_PI if beyond else r
    r = _HALF_PI - r if ay > ax else r
    r = PI - r if x < 0 else r
    return -r if y < 0 else r
