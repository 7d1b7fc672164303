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

from kdmos_ros.features.range_image import (
    BLOCK,
    FILL_ROWS,
    N_COLUMNS,
    NOTHING,
    RangeImage,
    metres_of,
    pixel,
    zeros,
)

UNKNOWN, SEEN_THROUGH, MATCHED, HIDDEN = 0, 1, 2, 3
KNOWN_STATES = ("seen through", "matched", "hidden")
N_KNOWN_STATES = len(KNOWN_STATES)

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@dataclass(frozen=True)
class VisibilitySpec:
    """Which past scans are asked, and how sure an answer must be.

    Attributes:
        lags_s: ages of the past scans, seconds (not scans, so that any scan rate fits).
        future_lags_s: how long after the scan the later ones come that are asked too, seconds;
            those that are not there yet are unknown.
        margin_m, margin_per_m: the past range must differ by margin_m + margin_per_m * range.
        pool_rows: rows of a range image, of another scan's or, for `vacated`, the newest one's, to
            either side of a point's own that must agree. On surfaces at a grazing angle, such as
            roofs, ranges leap from beam to beam, and the beam that passed closely above a place
            does not show that it was free.
    """

    lags_s: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6)
    margin_m: float = 0.25
    margin_per_m: float = 0.012
    future_lags_s: tuple[float, ...] = ()
    pool_rows: int = 0

    def __post_init__(self) -> None:
        if not self.lags_s or min(self.lags_s) <= 0:
            raise ValueError(f"visibility: lags_s must be positive, got {self.lags_s}")
        if self.future_lags_s and min(self.future_lags_s) <= 0:
            raise ValueError(
                f"visibility: future_lags_s must be positive, got {self.future_lags_s}"
            )
        if self.margin_m < 0 or self.margin_per_m < 0:
            raise ValueError("visibility: margins must not be negative")
        if not isinstance(self.pool_rows, int) or not 0 <= self.pool_rows <= FILL_ROWS:
            raise ValueError(
                f"visibility: pool_rows must be 0..{FILL_ROWS}, got {self.pool_rows!r}"
            )

    @property
    def n_lags(self) -> int:
        """How many scans are asked, past and later ones."""
        return len(self.lags_s) + len(self.future_lags_s)


def look_up(
    image: RangeImage,
    past_from_now: npt.NDArray[np.float32],
    points: npt.NDArray[np.float32],
    margin_m: float,
    margin_per_m: float,
    state: npt.NDArray[np.uint8],
    near: npt.NDArray[np.float32],
    far: npt.NDArray[np.float32],
) -> None:
    """Compare points of the newest scan with one past range image; results go into the outputs.

    Args:
        past_from_now: (4, 4) float32, T_past_now between the two sensor frames.
        points: (N, 3) float32, newest scan, sensor frame, metres.
        margin_m, margin_per_m: see VisibilitySpec.
        state: (N,) uint8 out: UNKNOWN, SEEN_THROUGH, MATCHED or HIDDEN.
        near, far: (N,) float32 out: past nearest and farthest range less the point's range, in
            margins, clipped to -1..1 at two margins; 0 where unknown.
    """
    margins = np.float32(margin_m), np.float32(margin_per_m)
    _look_up(image.pixels, image.first_row, past_from_now, points, *margins, state, near, far)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _look_up(pixels, first_row, m, points, margin_m, margin_per_m, state, near, far):  # type: ignore[no-untyped-def]
    outside = np.int32(len(pixels) - 1)
    first, columns = np.int32(first_row), np.int32(N_COLUMNS)
    low, high = np.float32(first_row), np.float32(first_row + len(pixels) // N_COLUMNS)
    m00, m01, m02, m03 = m[0]
    m10, m11, m12, m13 = m[1]
    m20, m21, m22, m23 = m[2]
    # Arrays of their own: rows of one array might overlap for all that the compiler knows.
    x, y, z = zeros(), zeros(), zeros()
    distance, nearest, farthest = zeros(), zeros(), zeros()
    place = np.empty(BLOCK, np.int32)
    seen = np.empty(BLOCK, np.uint32)
    answer = np.empty(BLOCK, np.uint8)
    for start in range(0, len(points), BLOCK):
        length = min(BLOCK, len(points) - start)
        for j in range(length):
            point = points[start + j]
            x[j], y[j], z[j] = point[0], point[1], point[2]
        for j in range(BLOCK):
            px = m00 * x[j] + m01 * y[j] + m02 * z[j] + m03
            py = m10 * x[j] + m11 * y[j] + m12 * z[j] + m13
            pz = m20 * x[j] + m21 * y[j] + m22 * z[j] + m23
            squared = px * px + py * py + pz * pz
            row, column = pixel(px, py, pz)
            inside = (row >= low) & (row < high) & (squared > 0)
            place[j] = (np.int32(row) - first) * columns + column if inside else outside
            distance[j] = np.float32(math.sqrt(squared))
        for j in range(BLOCK):
            seen[j] = pixels[np.uint32(place[j])]
        for j in range(BLOCK):
            known = seen[j] != NOTHING
            near_m, far_m = metres_of(seen[j])
            per_margin = _ONE / (margin_m + margin_per_m * distance[j])
            d_near = (near_m - distance[j]) * per_margin if known else _ZERO
            d_far = (far_m - distance[j]) * per_margin if known else _ZERO
            found = HIDDEN if d_far < -_ONE else MATCHED
            found = SEEN_THROUGH if d_near > _ONE else found
            answer[j] = np.uint8(found if known else UNKNOWN)
            nearest[j] = _clip(_HALF * d_near)
            farthest[j] = _clip(_HALF * d_far)
        states, nears, fars = state[start:], near[start:], far[start:]
        for j in range(length):
            states[j], nears[j], fars[j] = answer[j], nearest[j], farthest[j]


@njit(nogil=True, inline="always")
def _clip(value):  # type: ignore[no-untyped-def]
    """To -1..1."""
    value = value if value > -_ONE else -_ONE
    return value if value < _ONE else _ONE
