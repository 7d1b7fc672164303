"""When each point of a PointCloud2 was measured, whatever a driver calls and counts it in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.layout import UINT32, Field, Layout
from kdmos_ros.pointcloud.time_units import (
    MAX_SPAN_S,
    UNITS,
    check_resolution,
    check_unit,
    find_unit,
)

# Ouster; Velodyne; Hesai, RoboSense and Livox; Autoware; what some converters write.
TIME_FIELDS = ("t", "time", "timestamp", "time_stamp", "offset_time")

# No LiDAR stamps a cloud farther from its points.
MAX_OFFSET_S = MAX_SPAN_S
# So many points tell how the times of all are spread; fewer than a few tell nothing.
_SAMPLE = 1000
_FEW = 20
_HALF_UINT32 = 2.0**31


@dataclass(frozen=True)
class TimeFormat:
    """How a driver writes the time of a point.

    Attributes:
        field: its name; empty: the first of TIME_FIELDS there is.
        unit: s, ms, us or ns. auto: integers are nanoseconds and floats seconds, unless only
            another unit brings them near the stamp or makes them span a sweep.
        base: absolute (on the clock of the stamp), stamp (counted from the cloud's stamp), or
            start, middle, end: only differences count, and the cloud's stamp is when the first
            point was taken, the middle of the sweep, or the last. auto: absolute or stamp,
            whichever brings the points near the stamp.
    """

    field: str = ""
    unit: str = "auto"
    base: str = "auto"


@dataclass(frozen=True)
class PointTimes:
    """Times of a cloud's points, in their order.

    Attributes:
        seconds: (N,) float32 after the cloud's stamp; not finite where the driver gave none or
            a few points have a time far from that of all others, without meaning for points
            without a return.
        first, last: of the points with a return.
    """

    seconds: npt.NDArray[np.float32]
    first: float
    last: float


def read_point_times(
    layout: Layout, points: npt.NDArray[np.float32], stamp_ns: int, form: TimeFormat
) -> PointTimes:
    """Read when the points of a cloud were taken.

    Args:
        layout: of the cloud.
        points: (N, 3) of `codec.decode`, to know which have a return.
        stamp_ns: the cloud's stamp.

    Raises:
        CloudError: `no_point_time` (no such field) or `bad_point_time` (its values cannot be
            times of one sweep); the message names the field.
    """
    field = _find(layout, form.field)
    with np.errstate(invalid="ignore"):  # values of points without a return
        values = layout.column(field).astype(np.float64).reshape(-1)
    first, last, count = extent(points, values)
    if strays(points, values, first, last):
        first, last, count = extent(points, values)
    if field.datatype == UINT32 and last - first > _HALF_UINT32 and _wraps(points, values):
        values[values < _HALF_UINT32] += 2 * _HALF_UINT32
        first, last, count = extent(points, values)
    if not count:
        return PointTimes(np.zeros(len(points), np.float32), 0.0, 0.0)
    check_resolution(field, first, last, count)
    unit = form.unit
    if unit == "auto":
        unit = find_unit(field, first, last, count, stamp_ns * 1e-9)
    check_unit(field.name, unit, first, last, count)
    scale = UNITS[unit]
    zero = _zero(form.base, first, last, stamp_ns * (1e-9 / scale))
    first, last = (first - zero) * scale, (last - zero) * scale
    _check(field.name, unit, form.base, first, last, count)
    with np.errstate(over="ignore", invalid="ignore"):  # values of points without a return
        seconds = ((values - zero) * scale).astype(np.float32)
    return PointTimes(seconds, first, last)


def _wraps(points: npt.NDArray[np.float32], values: npt.NDArray[np.float64]) -> bool:
    """Whether the upper uint32 values (N,) may be times: a filler is always the same."""
    first, last, count = extent(points, np.where(values >= _HALF_UINT32, values, np.nan))
    return bool(count and first < last)


def _find(layout: Layout, name: str) -> Field:
    candidates = (name,) if name else TIME_FIELDS
    field = next((f for f in map(layout.find, candidates) if f and f.known), None)
    if field is None:
        there = ", ".join(f.name for f in layout.fields)
        raise CloudError(
            "no_point_time",
            f"no time of each point: the cloud has no field {' or '.join(candidates)} (it has: "
            f"{there}); name it by the parameter time_field, or set deskew to false",
        )
    return field


def _zero(base: str, first: float, last: float, stamp: float) -> float:
    """The value of the field at the cloud's stamp; all in the field's unit."""
    middle = 0.5 * (first + last)
    if base == "auto":
        # Near a stamp of zero (simulated time) both fit; the nearer one is right by then.
        base = "absolute" if abs(middle - stamp) < abs(middle) else "stamp"
    return {"absolute": stamp, "stamp": 0.0, "start": first, "middle": middle, "end": last}[base]


def _check(name: str, unit: str, base: str, first: float, last: float, count: int) -> None:
    if count > 1 and first == last:
        raise CloudError(
            "bad_point_time",
            f"all points have the same '{name}': the driver does not fill it, so the cloud "
            "cannot be deskewed",
        )
    if last - first > MAX_OFFSET_S:
        raise CloudError(
            "bad_point_time",
            f"field '{name}' spans {last - first:.3g} s (taken as {unit}), too long for a sweep: "
            "check the parameter time_unit",
        )
    if max(-first, last) > MAX_OFFSET_S:
        remedy = "two clocks? set the parameter time_base to start, middle or end"
        raise CloudError(
            "bad_point_time",
            f"field '{name}' (taken as {unit}, base {base}) is {first:.3g} to {last:.3g} s after "
            f"the cloud's stamp: {remedy}",
        )


@njit(cache=True, nogil=True)
def extent(points, values):  # type: ignore[no-untyped-def]
    """Smallest and largest finite value of the points with a return, and their number.

    Args:
        points: (N, 3) float32; values: (N,) float64.
    """
    first, last, count = np.inf, -np.inf, 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        squared = x * x + y * y + z * z
        if squared > 0 and squared < np.inf and np.isfinite(values[i]):
            first = min(first, values[i])
            last = max(last, values[i])
            count += 1
    return first, last, count


def strays(
    points: npt.NDArray[np.float32], values: npt.NDArray[np.float64], first: float, last: float
) -> bool:
    """Set the times of a few points that lie far from all others to NaN; whether there were any.

    Far is farther outside of the middle 96 % than these span; a few are at most one in a hundred.

    Args:
        points: (N, 3); values: (N,), changed in place.
        first, last: of `extent`.
    """
    sample = slice(None, None, max(1, len(values) // _SAMPLE))
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("ij,ij->i", points[sample], points[sample])
    some = values[sample][(squared > 0) & (squared < np.inf) & np.isfinite(values[sample])]
    if len(some) < _FEW:
        return False
    some.sort()
    low, high = some[len(some) // 50], some[-1 - len(some) // 50]
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
    if span <= 0 or (first >= low - span and last <= high + span):
        return False
    outside = (values < low - span) | (values > high + span)
    with np.errstate(over="ignore", invalid="ignore"):
        outside &= np.einsum("ij,ij->i", points, points) > 0
    if np.count_nonzero(outside) > max(1, len(values) // 100):
        return False
    values[outside] = np.nan
    return True
