"""Clouds that contradict themselves are refused with a reason, before anything is allocated."""

import numpy as np
import pytest
from cloud_harness import LAYOUTS, make_cloud
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import Field, read_layout

layouts = pytest.mark.parametrize("layout", LAYOUTS)
endianness = pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])


def reason_of(message, **options):
    with pytest.raises(CloudError) as caught:
        decode(message, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", ["x", "y", "z"])
def test_missing_coordinate_is_named(name):
    message, _ = make_cloud()
    message.fields = [f for f in message.fields if f.name != name]
    with pytest.raises(CloudError, match=f"no field {name} ") as caught:
        decode(message)
    assert caught.value.reason == "missing_xyz"


@pytest.mark.parametrize("datatype", [0, 1, 2, 3, 4, 5, 6, 9, 255])
def test_coordinate_of_wrong_datatype(datatype):
    message, _ = make_cloud()
    message.fields[1] = Field("y", 4, datatype, 1)
    assert reason_of(message) == "bad_datatype"


@pytest.mark.parametrize("step", [0, 1, 15])
def test_point_step_smaller_than_the_fields(step):
    message, _ = make_cloud()
    message.point_step = step
    assert reason_of(message) == "bad_point_step"


@pytest.mark.parametrize("width", [0, 1])
def test_a_point_of_a_size_that_none_has(width):
    message, _ = make_cloud("kitti", width)
    message.point_step = 2**32 - 1
    assert reason_of(message) == "bad_point_step"


def test_field_beyond_the_point():
    message, _ = make_cloud()
    message.fields.append(Field("ring", 15, 4, 1))
    assert reason_of(message) == "bad_point_step"


def test_field_with_too_many_elements():
    message, _ = make_cloud()
    message.fields[3] = Field("intensity", 12, 7, 2)
    assert reason_of(message) == "bad_point_step"


@pytest.mark.parametrize(("height", "row_step"), [(1, 0), (4, 0), (4, 800)])
def test_row_step_of_nothing_or_of_the_whole_cloud(height, row_step):
    message, _ = make_cloud(width=50)
    expected = decode(message).points
    message.height, message.width = height, 50 // height
    message.data = message.data[: 16 * message.height * message.width]
    message.row_step = row_step and len(message.data)
    layout = read_layout(message)
    assert (layout.row_step, layout.odd_row_step) == (16 * message.width, message.row_step)
    np.testing.assert_array_equal(decode(message).points, expected[: layout.size])
    message.data = bytes(message.data) + bytes(16)  # another reading is possible
    assert reason_of(message) in ("bad_row_step", "short_data")


@pytest.mark.parametrize("row_step", [799, 801, 10**9])
def test_row_step_that_does_not_fit(row_step):
    message, _ = make_cloud(width=50)
    message.row_step = row_step
    assert reason_of(message) == "bad_row_step"


@pytest.mark.parametrize("keep", [0, 1, 799])
def test_data_shorter_than_declared(keep):
    message, _ = make_cloud(width=50)
    message.data = message.data[:keep]
    assert reason_of(message) == "short_data"


def test_width_larger_than_the_data():
    message, _ = make_cloud(width=50)
    message.width, message.row_step = 60, 60 * 16
    assert reason_of(message) == "short_data"


def test_ten_million_points_are_refused_before_anything_is_allocated():
    message, _ = make_cloud()
    message.height, message.width = 1, 10_000_000
    message.row_step = 160_000_000
    assert reason_of(message) == "too_many_points"
    message.height = message.width = 2**32 - 1
    assert reason_of(message) == "too_many_points"


def test_limit_is_inclusive():
    message, _ = make_cloud(width=50)
    assert len(decode(message, max_points=50).points) == 50
    assert reason_of(message, max_points=49) == "too_many_points"


@pytest.mark.slow
@given(
    height=st.integers(0, 2**32 - 1),
    width=st.integers(0, 2**32 - 1),
    point_step=st.integers(0, 2**32 - 1),
    row_step=st.integers(0, 2**32 - 1),
    length=st.integers(0, 200),
    fields=st.lists(
        st.tuples(
            st.sampled_from(["x", "y", "z", "intensity", ""]),
            st.integers(0, 2**32 - 1) | st.integers(0, 20),
            st.integers(0, 255) | st.sampled_from([7, 8]),
            st.integers(0, 2**32 - 1) | st.just(1),
        ),
        max_size=6,
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_message_whatsoever_raises_anything_else(
    height, width, point_step, row_step, length, fields
):
    message, _ = make_cloud()
    message.height, message.width = height, width
    message.point_step, message.row_step = point_step, row_step
    message.data = bytes(length)
    message.fields = [Field(*field) for field in fields]
    try:
        decoded = decode(message, max_points=10_000)
    except CloudError:
        return
    assert decoded.points.shape == (height * width, 3)
