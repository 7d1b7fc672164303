"""PointCloud2 bytes to arrays and back, by field name, datatype, offset, steps and endianness.

Works on every object with the attributes of sensor_msgs/PointCloud2 (the message of rclpy, of
rosbags, or a stand-in), so that nothing here needs ROS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.pointcloud.layout import (
    DEFAULT_MAX_POINTS,
    FLOAT32,
    FLOAT64,
    UINT8,
    Field,
    Layout,
    PointCloud2,
    read_layout,
)

LABEL_FIELD = "label"
PROBABILITY_FIELD = "moving_probability"
INTENSITY_FIELDS = ("intensity", "reflectivity", "i")
_INTEGER_INTENSITY_SCALE = 255.0


@dataclass(frozen=True)
class DecodedCloud:
    """The arrays of a cloud, in the order of its points.

    Attributes:
        points: (N, 3) float32, metres, sensor frame; rows without a return are kept as they came.
        intensity: (N,) float32 in 0..1, or None where the cloud has none.
        saturated: share of the intensities above the scale (clipped to 1), 0..1.
    """

    points: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32] | None
    saturated: float = 0.0


@dataclass(frozen=True)
class PackedCloud:
    """Everything of a PointCloud2 but its header. `data` is (height * row_step,) uint8."""

    fields: tuple[Field, ...]
    height: int
    width: int
    point_step: int
    row_step: int
    is_bigendian: bool
    is_dense: bool
    data: npt.NDArray[np.uint8]


def decode(
    cloud: PointCloud2 | Layout,
    *,
    intensity_field: str | None = None,
    intensity_scale: float | None = None,
    max_points: int = DEFAULT_MAX_POINTS,
) -> DecodedCloud:
    """Read the points of a cloud: N = height * width rows in the cloud's order.

    Args:
        cloud: a message, or its layout if that was read already.
        intensity_field: field to read intensity from; None takes the first of
            `INTENSITY_FIELDS` there is. A named field that is missing means no intensity.
        intensity_scale: raw value that means 1. None takes floats as 0..1 already and integers
            as 0..255 (calibrated reflectivity); nothing is guessed from the values.

    Raises:
        CloudError: see `layout.read_layout`.
    """
    layout = _layout(cloud, max_points)
    points = np.empty((layout.height, layout.width, 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32: infinite
        for axis, name in enumerate("xyz"):
            field = layout.find(name)
            assert field is not None  # read_layout checked it
            points[..., axis] = layout.column(field)
    intensity, saturated = _intensity(layout, intensity_field, intensity_scale)
    return DecodedCloud(points.reshape(-1, 3), intensity, saturated)


def _intensity(
    layout: Layout, name: str | None, scale: float | None
) -> tuple[npt.NDArray[np.float32] | None, float]:
    candidates = (name,) if name else INTENSITY_FIELDS
    field = next((f for f in map(layout.find, candidates) if f and f.known), None)
    if field is None:
        return None, 0.0
    if scale is None:
        scale = 1.0 if field.datatype in (FLOAT32, FLOAT64) else _INTEGER_INTENSITY_SCALE
    with np.errstate(over="ignore", invalid="ignore"):
        values = layout.column(field).astype(np.float32).reshape(-1)
        values *= np.float32(1.0 / scale)
        saturated = float(np.count_nonzero(values > 1.0)) / max(1, len(values))
        # NaN becomes 0: an unknown reflectance must not poison a whole cell.
        np.fmax(values, 0.0, out=values)
        np.fmin(values, 1.0, out=values)
    return values, saturated


def append_label(
    cloud: PointCloud2 | Layout,
    labels: npt.NDArray[np.uint8],
    moving_probability: npt.NDArray[np.float32],
    max_points: int | None = None,
) -> PackedCloud:
    """The same points plus `label` (uint8) and `moving_probability` (float32).

    Points keep their bytes, order, height and width; row padding goes. The new fields follow the
    old point: 8 bytes where the old step is a multiple of 4 (all stays aligned), else 5. Input
    fields of the same names leave the field list (their bytes stay), so that `label` is ours.

    Raises:
        CloudError: see `layout.read_layout`.
        ValueError: labels or probabilities are not one a point.
    """
    layout = _layout(cloud, max_points)
    if labels.shape != (layout.size,) or moving_probability.shape != (layout.size,):
        raise ValueError(
            f"{layout.size} points, but labels {labels.shape}, "
            f"probabilities {moving_probability.shape}"
        )
    aligned = layout.point_step % 4 == 0
    label = Field(LABEL_FIELD, layout.point_step, UINT8, 1)
    probability = Field(PROBABILITY_FIELD, label.offset + (4 if aligned else 1), FLOAT32, 1)
    step = probability.offset + 4
    kept = tuple(f for f in layout.fields if f.name not in (LABEL_FIELD, PROBABILITY_FIELD))

    out = np.zeros(layout.size * step, np.uint8)
    packed = Layout(
        (*kept, label, probability), layout.height, layout.width, step, layout.width * step,
        layout.big_endian, out, layout.is_dense,
    )  # fmt: skip
    if layout.size:
        # Writing through views of the packed layout: one strided copy, no loop over points.
        packed.leading_bytes(layout.point_step)[...] = layout.records()
        shape = (layout.height, layout.width)
        packed.column(label)[...] = labels.reshape(shape)
        packed.column(probability)[...] = moving_probability.reshape(shape)
    return _finish(packed)


def read_labels(
    cloud: PointCloud2 | Layout, max_points: int | None = None
) -> npt.NDArray[np.uint8]:
    """The `label` field (N,) of a cloud from `append_label`.

    Raises:
        CloudError: see `layout.read_layout`.
        ValueError: it has no such field.
    """
    layout = _layout(cloud, max_points)
    field = layout.find(LABEL_FIELD)
    if field is None:
        raise ValueError(f"the cloud has no field '{LABEL_FIELD}'")
    return np.ascontiguousarray(layout.column(field)).reshape(-1)


def subset(
    cloud: PointCloud2 | Layout, mask: npt.NDArray[np.bool_], max_points: int | None = None
) -> PackedCloud:
    """The points of `mask` (N,) with the input's fields, byte for byte, as one row.

    Raises:
        CloudError: see `layout.read_layout`.
        ValueError: the mask is not one a point.
    """
    layout = _layout(cloud, max_points)
    if mask.shape != (layout.size,):
        raise ValueError(f"{layout.size} points, but mask {mask.shape}")
    # Indices of a two-dimensional view: row padding is skipped without copying the cloud.
    chosen = layout.records()[np.nonzero(mask.reshape(layout.height, layout.width))]
    data = chosen.view(np.uint8) if len(chosen) else np.empty(0, np.uint8)
    packed = Layout(
        layout.fields, 1, len(chosen), layout.point_step, len(chosen) * layout.point_step,
        layout.big_endian, data, layout.is_dense,
    )  # fmt: skip
    return _finish(packed)


def _layout(cloud: PointCloud2 | Layout, max_points: int | None) -> Layout:
    if isinstance(cloud, Layout):
        return cloud
    size = int(cloud.height) * int(cloud.width)
    return read_layout(cloud, size if max_points is None else max_points)


def _finish(packed: Layout) -> PackedCloud:
    return PackedCloud(
        packed.fields, packed.height, packed.width, packed.point_step, packed.row_step,
        packed.big_endian, packed.is_dense, packed.data,
    )  # fmt: skip
