import math

import numpy as np
import pytest

from kdmos_ros.geometry.mount import parse_transform


@pytest.mark.parametrize(
    "value",
    [
        "1 2", "1 2 3 4", "1 2 3 4 5", "1 2 3 4 5 6 7 8", "a b c", "1 2 nan", "1 2 inf 0 0 0",
        "0 0 0 0 0 0 0", "0 0 0 0 0 nan 1", [1, 2], [[1], [2], [3]], 5, 1.0, True, [None] * 3,
        "0 0 0 inf 0 0",
    ],
)  # fmt: skip
def test_what_is_no_transform(value):
    with pytest.raises(ValueError, match=r"numbers|rotation|position|angles"):
        parse_transform(value)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_value(value):
    assert parse_transform(value) is None


@pytest.mark.parametrize(
    "value",
    ["0 0 1.73", "0,0,1.73", "[0, 0, 1.73]", [0, 0, 1.73], "0 0 1.73 0 0 0", "0 0 1.73 0 0 0 1"],
)
def test_forms_of_one_transform(value):
    expected = np.eye(4)
    expected[2, 3] = 1.73
    np.testing.assert_allclose(parse_transform(value), expected, atol=1e-15)


def test_angles_turn_about_fixed_axes_x_then_y_then_z():
    roll, pitch, yaw = 0.3, -0.4, 1.2
    cos, sin = math.cos, math.sin
    rx = np.array([[1, 0, 0], [0, cos(roll), -sin(roll)], [0, sin(roll), cos(roll)]])
    ry = np.array([[cos(pitch), 0, sin(pitch)], [0, 1, 0], [-sin(pitch), 0, cos(pitch)]])
    rz = np.array([[cos(yaw), -sin(yaw), 0], [sin(yaw), cos(yaw), 0], [0, 0, 1]])
    found = parse_transform(f"1 2 3 {roll} {pitch} {yaw}")
    np.testing.assert_allclose(found[:3, :3], rz @ ry @ rx, atol=1e-12)
    np.testing.assert_allclose(found[:3, 3], [1, 2, 3])
