"""Where the sensor may see a solid: bounds in azimuth, elevation and range."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_options = {"cache": True, "nogil": True, "fastmath": True}


@njit(inline="always", **_options)
def _wrap(angle):  # type: ignore[no-untyped-def]
    return angle - 2 * math.pi * math.floor(angle / (2 * math.pi) + 0.5)


@njit(**_options)
def _bounds(center, axes, half, shift, turn, to_sensor, out):  # type: ignore[no-untyped-def]
    """Azimuth and elevation bounds of one solid's bounding box, as seen by the sensor.

    Args:
        center (3,), axes (3, 3), half (3,): the box; rows of axes are its axes in the world.
        shift: (3,) how the solid moves past the sensor within the sweep, in the world.
        turn: how much (rad) both turn meanwhile.
        to_sensor: (3, 3) world to sensor rotation; the sensor is at the origin.
        out: (5,) gets middle azimuth, half width, lowest and highest elevation, least range.
    """
    px, py, pz = np.empty(16), np.empty(16), np.empty(16)
    along = np.zeros(3)  # numba's matrix product would need scipy
    for r in range(3):
        for c in range(3):
            along[r] += to_sensor[r, c] * shift[c]
    move = math.hypot(along[0], along[1])
    for n in range(8):
        w = np.empty(3)
        for c in range(3):
            w[c] = center[c]
            for a in range(3):
                sign = 1.0 if (n >> a) & 1 else -1.0
                w[c] += sign * half[a] * axes[a, c]
        px[n] = to_sensor[0, 0] * w[0] + to_sensor[0, 1] * w[1] + to_sensor[0, 2] * w[2]
        py[n] = to_sensor[1, 0] * w[0] + to_sensor[1, 1] * w[1] + to_sensor[1, 2] * w[2]
        pz[n] = to_sensor[2, 0] * w[0] + to_sensor[2, 1] * w[1] + to_sensor[2, 2] * w[2]
        # Where the corner is at the end of the sweep.
        px[n + 8], py[n + 8], pz[n + 8] = px[n] + along[0], py[n] + along[1], pz[n] + along[2]
    # Nearest approach of the corners' convex hull, seen from above: over all pairs of corners.
    near, far = 1e18, 0.0
    for i in range(8):
        far = max(far, px[i] * px[i] + py[i] * py[i])
        for j in range(i):
            dx, dy = px[j] - px[i], py[j] - py[i]
            length = dx * dx + dy * dy
            u = 0.0
            if length > 1e-12:
                u = min(max(-(px[i] * dx + py[i] * dy) / length, 0.0), 1.0)
            qx, qy = px[i] + u * dx, py[i] + u * dy
            near = min(near, qx * qx + qy * qy)
    near, far = math.sqrt(near) - move, math.sqrt(far) + move
    middle = math.atan2(py[0], px[0])
    left, right = 0.0, 0.0
    for n in range(1, 16):
        delta = _wrap(math.atan2(py[n], px[n]) - middle)
        left, right = max(left, delta), min(right, delta)
    if left - right >= math.pi or near < 0.05:  # the sensor stands over or in it
        out[0], out[1], out[2], out[3], out[4] = 0.0, 4.0, -2.0, 2.0, 0.0
        return
    low, high = pz.min(), pz.max()
    out[0] = middle + 0.5 * (left + right)
    out[1] = 0.5 * (left - right) + turn + 1e-3
    out[2] = math.atan2(low, near if low < 0 else far) - 1e-3
    out[3] = math.atan2(high, near if high > 0 else far) + 1e-3
    out[4] = near


@njit(cache=True, nogil=True)
def windows(  # type: ignore[no-untyped-def]
    center, axes, half, shift, turn, to_sensor, max_range, out
):
    """Write the bounds of M solids, as `_bounds` gives them, into out (M, 5) float32.

    Solids that are wholly beyond max_range get an infinite range, and nothing else.
    """
    one = np.empty(5)
    for m in range(len(center)):
        reach = np.sqrt((half[m] ** 2).sum()) + np.sqrt((shift[m] ** 2).sum())
        if np.sqrt((center[m] ** 2).sum()) - reach > max_range:
            out[m, 4] = np.inf
            continue
        _bounds(center[m], axes[m], half[m], shift[m], turn[m], to_sensor, one)
        out[m] = one
