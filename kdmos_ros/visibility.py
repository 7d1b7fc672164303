"""See-through residuals: was the space of a point seen free, occupied or hidden before?

Each past scan is kept as a range image in its own sensor frame, built once. A point of the newest
scan is moved into that frame by the two poses and looked up: if the past rays around it all ended
clearly behind it, the space was free then, so something has moved in since. One look-up a point
and lag, so history costs nothing to keep. The test is the visibility check of Pomerleau et al.
(ICRA 2014) and Removert (Kim et al., IROS 2020), used forward in time only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

UNKNOWN, SEEN_THROUGH, MATCHED, HIDDEN = 0, 1, 2, 3
N_KNOWN_STATES = 3

# Sensor-frame elevations covered: every common sensor, from downward-looking to dome-shaped.
ELEVATION_MIN = math.radians(-40.0)
ELEVATION_MAX = math.radians(60.0)
D_ELEVATION = math.radians(0.2)
D_AZIMUTH = math.radians(0.4)
N_ROWS = round((ELEVATION_MAX - ELEVATION_MIN) / D_ELEVATION)
N_COLUMNS = round(2 * math.pi / D_AZIMUTH)
# Beams are up to 0.5 degrees apart on a 64-beam sensor: an empty pixel takes the nearest row.
FILL_ROWS = 4

# The kernels work in float32 throughout: a float64 constant would widen every operation.
_PI = np.float32(math.pi)
_HALF_PI = np.float32(math.pi / 2)
_BOTTOM = np.float32(ELEVATION_MIN)
_ROWS_PER_RADIAN = np.float32(1 / D_ELEVATION)
_COLUMNS_PER_RADIAN = np.float32(1 / D_AZIMUTH)


@dataclass(frozen=True)
class VisibilitySpec:
    """Which past scans are asked, and how sure an answer must be.

    Attributes:
        lags_s: ages of the past scans, seconds (not scans, so that any scan rate fits).
        margin_m, margin_per_m: the past range must differ by margin_m + margin_per_m * range.
    """

    lags_s: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6)
    margin_m: float = 0.25
    margin_per_m: float = 0.012

    def __post_init__(self) -> None:
        if not self.lags_s or min(self.lags_s) <= 0:
            raise ValueError(f"visibility: lags_s must be positive, got {self.lags_s}")
        if self.margin_m < 0 or self.margin_per_m < 0:
            raise ValueError("visibility: margins must not be negative")


def build_range_image(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Range image (N_ROWS, N_COLUMNS, 2) float32 of sensor-frame points (N, 3), metres.

    Channel 0 holds the nearest and channel 1 the farthest return around a pixel: its own, or that
    of the nearest filled row up to FILL_ROWS away, over three columns. No return: inf and -inf.
    """
    nearest, farthest = _splat(points)
    return _pool_columns(_fill_rows(nearest, farthest))


@njit(cache=True, nogil=True, inline="always")
def _atan2(y, x):  # type: ignore[no-untyped-def]
    """Angle of (x, y), radians, to 0.1 millirad (a pixel has 3.5): the library's is 4 times slower.

    A minimax polynomial of atan on 0..1, unfolded by octants (Abramowitz and Stegun 4.4.49).
    """
    ax, ay = abs(x), abs(y)
    a = min(ax, ay) / max(max(ax, ay), np.float32(1e-20))
    s = a * a
    r = np.float32(0.0208351)
    r = r * s - np.float32(0.0851330)
    r = r * s + np.float32(0.1801410)
    r = r * s - np.float32(0.3302995)
    r = (r * s + np.float32(0.9998660)) * a
    r = _HALF_PI - r if ay > ax else r
    r = _PI - r if x < 0 else r
    return -r if y < 0 else r


@njit(cache=True, nogil=True, inline="always")
def _pixel(x, y, z):  # type: ignore[no-untyped-def]
    """Row and column of a direction; the row may be outside the image."""
    row = math.floor((_atan2(z, np.float32(math.sqrt(x * x + y * y))) - _BOTTOM) * _ROWS_PER_RADIAN)
    column = int((_atan2(y, x) + _PI) * _COLUMNS_PER_RADIAN)
    return row, column % N_COLUMNS


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"})
def _splat(points):  # type: ignore[no-untyped-def]
    nearest = np.full((N_ROWS, N_COLUMNS), np.inf, np.float32)
    farthest = np.full((N_ROWS, N_COLUMNS), -np.inf, np.float32)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        squared = x * x + y * y + z * z
        if not (squared > 0 and squared < np.inf):
            continue
        row, column = _pixel(x, y, z)
        if not 0 <= row < N_ROWS:
            continue
        distance = np.float32(math.sqrt(squared))
        nearest[row, column] = min(nearest[row, column], distance)
        farthest[row, column] = max(farthest[row, column], distance)
    return nearest, farthest


@njit(cache=True, nogil=True)
def _fill_rows(nearest, farthest):  # type: ignore[no-untyped-def]
    filled = np.empty((N_ROWS, N_COLUMNS, 2), np.float32)
    for row in range(N_ROWS):
        for column in range(N_COLUMNS):
            near, far = nearest[row, column], farthest[row, column]
            step = 1
            while near == np.inf and step <= FILL_ROWS:
                if row + step < N_ROWS:
                    near = min(near, nearest[row + step, column])
                    far = max(far, farthest[row + step, column])
                if row >= step:
                    near = min(near, nearest[row - step, column])
                    far = max(far, farthest[row - step, column])
                step += 1
            filled[row, column, 0] = near
            filled[row, column, 1] = far
    return filled


@njit(cache=True, nogil=True)
def _pool_columns(filled):  # type: ignore[no-untyped-def]
    pooled = np.empty_like(filled)
    for row in range(N_ROWS):
        for column in range(N_COLUMNS):
            left = column - 1 if column > 0 else N_COLUMNS - 1
            right = column + 1 if column < N_COLUMNS - 1 else 0
            pooled[row, column, 0] = min(
                filled[row, left, 0], filled[row, column, 0], filled[row, right, 0]
            )
            pooled[row, column, 1] = max(
                filled[row, left, 1], filled[row, column, 1], filled[row, right, 1]
            )
    return pooled


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"})
def look_up(image, past_from_now, points, margin_m, margin_per_m, state, near, far):  # type: ignore[no-untyped-def]
    """Compare points of the newest scan with one past range image; results go into the outputs.

    Args:
        image: (N_ROWS, N_COLUMNS, 2) float32 of `build_range_image`.
        past_from_now: (4, 4) float32, T_past_now between the two sensor frames.
        points: (N, 3) float32, newest scan, sensor frame, metres.
        margin_m, margin_per_m: see VisibilitySpec.
        state: (N,) uint8 out: UNKNOWN, SEEN_THROUGH, MATCHED or HIDDEN.
        near, far: (N,) float32 out: past nearest and farthest range less the point's range, in
            margins, clipped to -1..1 at two margins; 0 where unknown.
    """
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        m = past_from_now
        x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3]
        y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3]
        z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3]
        state[i] = UNKNOWN
        near[i] = 0.0
        far[i] = 0.0
        plane = x * x + y * y
        if not (plane + z * z > 0):
            continue
        row, column = _pixel(x, y, z)
        if not 0 <= row < N_ROWS:
            continue
        nearest = image[row, column, 0]
        if nearest == np.inf:
            continue
        distance = math.sqrt(plane + z * z)
        margin = margin_m + margin_per_m * distance
        d_near = (nearest - distance) / margin
        d_far = (image[row, column, 1] - distance) / margin
        if d_near > 1:
            state[i] = SEEN_THROUGH
        elif d_far < -1:
            state[i] = HIDDEN
        else:
            state[i] = MATCHED
        near[i] = min(max(0.5 * d_near, -1.0), 1.0)
        far[i] = min(max(0.5 * d_far, -1.0), 1.0)
