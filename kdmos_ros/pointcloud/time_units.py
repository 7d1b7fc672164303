"""In which unit a driver counts the times of points, told from their values."""

from __future__ import annotations

import math

import numpy as np

from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.layout import FLOAT32, FLOAT64, Field

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

# No LiDAR takes longer for a sweep. Units differ by a thousand, so only one of them makes the span
# of a sweep lie between this and a thousandth of it.
MAX_SPAN_S = 1.0
_MIN_SPAN_S = 1e-3
# Fewer points may lie side by side.
_MANY = 100
# Seconds since 1970 are counted in ten digits; a clock of that epoch is this near to the stamp.
_EPOCH_S = 1e8
_SAME_CLOCK_S = 3600.0
# No clock counts so many seconds: such floats are nanoseconds since 1970.
_TOO_MANY_SECONDS = 1e15
# A sweep has more instants than this.
_INSTANTS = 20


def find_unit(field: Field, first: float, last: float, count: int, stamp_s: float) -> str:
    """s, ms, us or ns: the unit in which the values are near the stamp or span a sweep.

    Args:
        first, last: smallest and largest value of the points with a return.
        count: number of these points.
        stamp_s: the cloud's stamp, seconds.
    """
    usual = _usual(field, first)
    if stamp_s > _EPOCH_S:
        since_1970 = [u for u, s in UNITS.items() if abs(first * s - stamp_s) < _SAME_CLOCK_S]
        if since_1970:
            return since_1970[0]
    if count < _MANY or _spans_sweep(first, last, usual):
        return usual
    return next((unit for unit in UNITS if _spans_sweep(first, last, unit)), usual)


def check_unit(name: str, unit: str, first: float, last: float, count: int) -> None:
    """Refuse a unit in which the values span no sweep, while they do in another one.

    Raises:
        CloudError: `bad_point_time`.
    """
    if count < _MANY or last <= first or (last - first) * UNITS[unit] >= _MIN_SPAN_S:
        return
    better = next((other for other in UNITS if _spans_sweep(first, last, other)), "")
    if better:
        span = last - first
        raise CloudError(
            "bad_point_time",
            f"field '{name}' spans {span * UNITS[unit] * 1e3:.3g} ms (taken as {unit}), too short "
            f"for a sweep, but {span * UNITS[better] * 1e3:.3g} ms taken as {better}: check the "
            "parameter time_unit",
        )


def check_resolution(field: Field, first: float, last: float, count: int) -> None:
    """Refuse float32 values too large to tell the points of a sweep apart.

    Raises:
        CloudError: `bad_point_time`.
    """
    largest = max(abs(first), abs(last))
    if field.datatype != FLOAT32 or count < 2 or largest < 1e4 or not math.isfinite(largest):
        return
    step = float(np.spacing(np.float32(largest)))
    if last - first < _INSTANTS * step:
        raise CloudError(
            "bad_point_time",
            f"field '{field.name}' holds values of about {largest:.3g} as float32, in steps of "
            f"{step:g}: float32 cannot hold times since 1970 or since a long time ago, so the "
            "cloud cannot be deskewed; let the driver write offsets from the stamp, or float64",
        )


def _usual(field: Field, value: float) -> str:
    if field.datatype not in (FLOAT32, FLOAT64):
        return "ns"
    return "ns" if abs(value) > _TOO_MANY_SECONDS else "s"


def _spans_sweep(first: float, last: float, unit: str) -> bool:
    return _MIN_SPAN_S <= (last - first) * UNITS[unit] <= MAX_SPAN_S
