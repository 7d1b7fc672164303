"""The layout of a PointCloud2, checked: fields, steps, endianness, and views into its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import CloudError

# sensor_msgs/PointField datatypes.
INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = range(1, 9)
_DTYPES = {
    INT8: "i1", UINT8: "u1", INT16: "i2", UINT16: "u2",
    INT32: "i4", UINT32: "u4", FLOAT32: "f4", FLOAT64: "f8",
}  # fmt: skip
_LARGEST_POINT = 1 << 16
_NAMES = {number: np.dtype(code).name for number, code in _DTYPES.items()}

DEFAULT_MAX_POINTS: int = CLOUD_OPTIONS["max_points"]


class PointCloud2(Protocol):
    """What is read of a sensor_msgs/PointCloud2 (header aside)."""

    height: Any
    width: Any
    fields: Any
    is_bigendian: Any
    point_step: Any
    row_step: Any
    data: Any
    is_dense: Any


@dataclass(frozen=True)
class Field:
    """One sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int

    @property
    def known(self) -> bool:
        """Whether the datatype is one of the eight of PointField."""
        return self.datatype in _DTYPES


@dataclass(frozen=True)
class Layout:
    """A checked PointCloud2 layout: every declared byte of every point is there.

    Attributes:
        odd_row_step: what the message says instead of `row_step`, if it says something else.
    """

    fields: tuple[Field, ...]
    height: int
    width: int
    point_step: int
    row_step: int
    big_endian: bool
    data: npt.NDArray[np.uint8]
    is_dense: bool = True
    odd_row_step: int | None = None

    @property
    def size(self) -> int:
        """Number of points."""
        return self.height * self.width

    def find(self, name: str) -> Field | None:
        """The first field of this name."""
        return next((field for field in self.fields if field.name == name), None)

    def column(self, field: Field) -> npt.NDArray[Any]:
        """View (height, width) of a field's first element in its own datatype."""
        dtype = np.dtype(_DTYPES[field.datatype]).newbyteorder(">" if self.big_endian else "<")
        return self._view(dtype, field.offset)

    def records(self) -> npt.NDArray[np.void]:
        """View (height, width) of the points as opaque blocks of point_step bytes."""
        return self.leading_bytes(self.point_step)

    def leading_bytes(self, length: int) -> npt.NDArray[np.void]:
        """View (height, width) of the first `length` bytes of every point."""
        return self._view(np.dtype((np.void, length)), 0)

    def _view(self, dtype: np.dtype[Any], offset: int) -> npt.NDArray[Any]:
        if self.size == 0:
            return np.empty((self.height, self.width), dtype)
        return np.ndarray(
            (self.height, self.width), dtype, self.data, offset, (self.row_step, self.point_step)
        )


def read_layout(msg: PointCloud2, max_points: int = DEFAULT_MAX_POINTS) -> Layout:
    """Check a cloud's layout.

    Zero points are legal. Bytes after the last declared row are ignored.

    Raises:
        CloudError: with the reason `too_many_points`, `missing_xyz`, `bad_datatype`,
            `bad_point_step`, `bad_row_step` or `short_data`.
    """
    height, width = int(msg.height), int(msg.width)
    if height * width > max_points:
        raise CloudError(
            "too_many_points", f"cloud of {height} x {width} points is above the limit {max_points}"
        )
    point_step, row_step = int(msg.point_step), int(msg.row_step)
    fields = tuple(
        # Some drivers leave count at 0 where they mean 1.
        Field(str(f.name), int(f.offset), int(f.datatype), max(1, int(f.count)))
        for f in msg.fields
    )
    if point_step > _LARGEST_POINT:
        raise CloudError(
            "bad_point_step",
            f"point_step is {point_step}: no point has over {_LARGEST_POINT} bytes",
        )
    _check_fields(fields, point_step)
    data = np.frombuffer(msg.data, np.uint8) if len(msg.data) else np.empty(0, np.uint8)
    odd_row_step = None
    row = width * point_step
    # Some drivers write 0, or the size of the whole cloud; the data leave one reading only.
    if row_step != row and row_step in (0, height * row) and len(data) == height * row:
        odd_row_step, row_step = row_step, row
    _check_steps(height, width, point_step, row_step, len(data))
    return Layout(
        fields,
        height,
        width,
        point_step,
        row_step,
        bool(msg.is_bigendian),
        data,
        bool(msg.is_dense),
        odd_row_step,
    )


def _check_fields(fields: tuple[Field, ...], point_step: int) -> None:
    names = [field.name for field in fields]
    missing = [name for name in "xyz" if name not in names]
    if missing:
        raise CloudError(
            "missing_xyz", f"cloud has no field {', '.join(missing)} (it has: {', '.join(names)})"
        )
    for field in fields:
        if field.name in ("x", "y", "z") and field.datatype not in (FLOAT32, FLOAT64):
            kind = _NAMES.get(field.datatype, f"unknown type {field.datatype}")
            raise CloudError(
                "bad_datatype", f"field {field.name} is {kind}; float32 or float64 is needed"
            )
        if field.datatype in _DTYPES:
            end = field.offset + field.count * np.dtype(_DTYPES[field.datatype]).itemsize
            if end > point_step:
                raise CloudError(
                    "bad_point_step",
                    f"field {field.name} ends at byte {end}, but point_step is {point_step}",
                )


def _check_steps(height: int, width: int, point_step: int, row_step: int, length: int) -> None:
    if height * width == 0:
        return
    row = width * point_step
    # A row_step that the length of the data contradicts is named as the culprit.
    if row_step < row or (height * row == length and row_step != row):
        raise CloudError(
            "bad_row_step",
            f"row_step {row_step} does not fit {width} points of {point_step} bytes a row",
        )
    if length < height * row_step:
        raise CloudError(
            "short_data",
            f"cloud declares {height} x {row_step} = {height * row_step} bytes, has {length}",
        )
