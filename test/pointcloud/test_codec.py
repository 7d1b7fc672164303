"""Clouds: reading every layout, writing labels beside what was there."""

import array

import numpy as np
import pytest
from cloud_harness import LAYOUTS, make_cloud
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmos_ros.pointcloud.codec import append_label, decode, read_labels, subset
from kdmos_ros.pointcloud.layout import Field, read_layout

layouts = pytest.mark.parametrize("layout", LAYOUTS)
endianness = pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])


def rows(message):
    """The bytes (N, point_step) of the points, read the slow and obvious way."""
    data, step = bytes(message.data), message.point_step
    return [
        data[v * message.row_step + u * step :][:step]
        for v in range(message.height)
        for u in range(message.width)
    ]


# -- reading -------------------------------------------------------------------------------------


@layouts
@endianness
@pytest.mark.parametrize("padding", [0, 13])
def test_points_of_every_layout(layout, big_endian, padding):
    message, truth = make_cloud(layout, padding=padding, big_endian=big_endian)
    decoded = decode(message)
    expected = np.stack([truth[name] for name in "xyz"], axis=1).astype(np.float32)
    np.testing.assert_array_equal(decoded.points, expected)
    assert decoded.points.dtype == np.float32
    assert decoded.points.flags.c_contiguous


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, np.frombuffer, "array"])
def test_every_container_of_bytes(container):
    message, truth = make_cloud()
    if container == "array":
        message.data = array.array("B", message.data)
    elif container is np.frombuffer:
        message.data = np.frombuffer(message.data, np.uint8)
    else:
        message.data = container(message.data)
    np.testing.assert_array_equal(decode(message).points[:, 0], truth["x"])


def test_nan_infinite_and_zero_rows_keep_their_place():
    x = np.array([1, np.nan, np.inf, 0], np.float32)
    message, _ = make_cloud(width=4, values={"x": x})
    np.testing.assert_array_equal(decode(message).points[:, 0], x)


def test_double_beyond_float32_becomes_infinite_without_a_warning(recwarn):
    message, _ = make_cloud("double_xyz", width=1, values={"x": [1e300]})
    assert np.isinf(decode(message).points[0, 0])
    assert not recwarn.list


@layouts
def test_zero_points(layout):
    message, _ = make_cloud(layout, width=0)
    message.row_step = 0
    decoded = decode(message)
    assert decoded.points.shape == (0, 3)
    empty = append_label(message, np.empty(0, np.uint8), np.empty(0, np.float32))
    assert (empty.width, len(empty.data)) == (0, 0)
    assert [f.name for f in empty.fields][-2:] == ["label", "moving_probability"]
    assert len(subset(message, np.empty(0, bool)).data) == 0


@pytest.mark.parametrize("layout", ["velodyne", "ouster_organised"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_labels_are_read_back(layout, big_endian):
    message, _ = make_cloud(layout, big_endian=big_endian)
    n = message.height * message.width
    labels = (np.arange(n) % 4).astype(np.uint8)
    labelled = append_label(message, labels, np.zeros(n, np.float32))
    np.testing.assert_array_equal(read_labels(labelled), labels)
    with pytest.raises(ValueError, match="no field 'label'"):
        read_labels(message)


def test_trailing_bytes_are_ignored():
    message, truth = make_cloud()
    message.data += b"tail"
    np.testing.assert_array_equal(decode(message).points[:, 2], truth["z"])


def test_count_of_zero_means_one():
    message, truth = make_cloud()
    message.fields = [Field(f.name, f.offset, f.datatype, 0) for f in message.fields]
    np.testing.assert_array_equal(decode(message).points[:, 1], truth["y"])


def test_fields_of_unknown_datatype_are_carried_along():
    message, _ = make_cloud("velodyne")
    message.fields[4] = Field("ring", 16, 77, 1)
    assert decode(message).points.shape == (50, 3)


# -- intensity -----------------------------------------------------------------------------------


def test_float_intensity_is_taken_as_it_is():
    values = np.array([0, 0.25, 1, 7, -1, np.nan, np.inf], np.float32)
    message, _ = make_cloud(width=7, values={"intensity": values})
    decoded = decode(message)
    np.testing.assert_array_equal(decoded.intensity, np.float32([0, 0.25, 1, 1, 0, 0, 1]))
    assert decoded.saturated == pytest.approx(2 / 7)


def test_integer_intensity_is_0_to_255():
    message, _ = make_cloud("autoware_xyzirc", width=3, values={"intensity": [0, 51, 255]})
    np.testing.assert_allclose(decode(message).intensity, [0, 0.2, 1], rtol=1e-6)


def test_scale_and_field_can_be_chosen():
    message, truth = make_cloud("ouster_organised")
    decoded = decode(message, intensity_field="reflectivity", intensity_scale=60_000)
    np.testing.assert_allclose(decoded.intensity, truth["reflectivity"] / 60_000, rtol=1e-5)


def test_no_intensity():
    assert decode(make_cloud("plain_xyz")[0]).intensity is None
    assert decode(make_cloud("kitti")[0], intensity_field="reflectivity").intensity is None


# -- writing -------------------------------------------------------------------------------------


@layouts
@endianness
@pytest.mark.parametrize("padding", [0, 13])
def test_labelled_cloud_keeps_every_input_byte(layout, big_endian, padding):
    message, _ = make_cloud(layout, padding=padding, big_endian=big_endian)
    n = message.height * message.width
    labels = (np.arange(n) % 4).astype(np.uint8)
    probability = np.linspace(0, 1, n, dtype=np.float32)

    out = append_label(message, labels, probability)

    assert [row[: message.point_step] for row in rows(out)] == rows(message)
    assert (out.height, out.width) == (message.height, message.width)
    assert (out.is_bigendian, out.is_dense) == (big_endian, message.is_dense)
    assert out.row_step == out.width * out.point_step
    assert len(out.data) == out.height * out.row_step
    assert list(out.fields[:-2]) == message.fields
    read = read_layout(out)
    np.testing.assert_array_equal(read.column(read.find("label")).ravel(), labels)
    found = read.column(read.find("moving_probability")).ravel()
    np.testing.assert_array_equal(found, probability)


def test_labelled_layout_byte_for_byte():
    message, _ = make_cloud("kitti", width=1)
    out = append_label(message, np.uint8([3]), np.float32([1.0]))
    assert out.data.tobytes() == message.data + b"\x03\0\0\0" + b"\x00\x00\x80\x3f"
    message, _ = make_cloud("velodyne", width=1, big_endian=True)
    out = append_label(message, np.uint8([3]), np.float32([1.0]))
    assert out.data.tobytes() == message.data + b"\x03" + b"\x3f\x80\x00\x00"


def test_own_fields_replace_those_of_the_input():
    message, _ = make_cloud("kitti", width=2)
    message.fields[3] = Field("label", 12, 6, 1)
    out = append_label(message, np.uint8([1, 2]), np.float32([0, 0]))
    assert [f.name for f in out.fields] == ["x", "y", "z", "label", "moving_probability"]
    again = append_label(out, np.uint8([3, 3]), np.float32([0, 0]))
    assert [f.name for f in again.fields] == [f.name for f in out.fields]
    read = read_layout(again)
    assert read.column(read.find("label")).ravel().tolist() == [3, 3]


@layouts
@endianness
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_subset_is_the_chosen_points(layout, big_endian, data):
    message, _ = make_cloud(layout, width=6, padding=data.draw(st.integers(0, 9)),
                            big_endian=big_endian)  # fmt: skip
    n = message.height * message.width
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    out = subset(message, mask)
    assert rows(out) == [row for row, keep in zip(rows(message), mask, strict=True) if keep]
    assert list(out.fields) == message.fields
    assert (out.height, out.width, out.row_step) == (1, mask.sum(), mask.sum() * out.point_step)
    assert out.is_bigendian == big_endian


@pytest.mark.parametrize("n", [0, 49, 51])
def test_lengths_must_match(n):
    message, _ = make_cloud(width=50)
    with pytest.raises(ValueError, match="50 points"):
        append_label(message, np.zeros(n, np.uint8), np.zeros(50, np.float32))
    with pytest.raises(ValueError, match="50 points"):
        append_label(message, np.zeros(50, np.uint8), np.zeros(n, np.float32))
    with pytest.raises(ValueError, match="50 points"):
        subset(message, np.zeros(n, bool))
