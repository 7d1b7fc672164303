"""Rigid transforms against transforms3d and against their own laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transforms3d.quaternions import mat2quat, quat2mat

from kdmos_ros.geometry import transforms

components = st.floats(-1, 1, allow_nan=False)
quaternions = st.tuples(components, components, components, components).filter(
    lambda q: np.linalg.norm(q) > 0.1
)
numbers = st.floats(-100, 100, allow_nan=False)
translations = st.tuples(numbers, numbers, numbers)


def wxyz(q):
    return np.roll(q, 1)


@given(quaternions)
def test_quaternion_to_matrix_is_that_of_transforms3d(q):
    np.testing.assert_allclose(transforms.quaternion_to_matrix(q), quat2mat(wxyz(q)), atol=1e-12)


@given(quaternions)
def test_matrix_to_quaternion_is_that_of_transforms3d(q):
    matrix = transforms.quaternion_to_matrix(q)
    ours, theirs = wxyz(transforms.matrix_to_quaternion(matrix)), mat2quat(matrix)
    assert abs(abs(ours @ theirs) - 1) < 1e-9


@pytest.mark.parametrize("bad", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_a_quaternion_that_is_no_rotation_is_refused(bad):
    with pytest.raises(ValueError, match="not a rotation"):
        transforms.quaternion_to_matrix(bad)


def test_a_position_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not a position"):
        transforms.from_pose([0, np.nan, 0], [0, 0, 0, 1])


@given(quaternions, translations)
def test_inverse_undoes(q, t):
    matrix = transforms.from_pose(t, q)
    np.testing.assert_allclose(transforms.invert(matrix) @ matrix, np.eye(4), atol=1e-9)


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_turns_at_constant_speed_along_the_shorter_arc(q0, q1, fraction):
    q0, q1 = np.array(q0) / np.linalg.norm(q0), np.array(q1) / np.linalg.norm(q1)
    q = transforms.slerp(q0, q1, fraction)
    # atan2 keeps small angles exact, where arccos would not.
    whole = angle_between(q0, q1)
    assert angle_between(q0, q) == pytest.approx(fraction * whole, abs=1e-5)
    assert angle_between(q, q1) == pytest.approx((1 - fraction) * whole, abs=1e-5)


def angle_between(a, b):
    if a @ b < 0:
        b = -b
    return 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))


def test_interpolation_meets_its_ends_and_middle():
    start = transforms.from_pose([0, 0, 0], [0, 0, 0, 1])
    end = transforms.from_pose([2, 4, 6], [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)])
    np.testing.assert_allclose(transforms.interpolate(start, end, 0), start, atol=1e-12)
    np.testing.assert_allclose(transforms.interpolate(start, end, 1), end, atol=1e-12)
    middle = transforms.interpolate(start, end, 0.5)
    np.testing.assert_allclose(middle[:3, 3], [1, 2, 3])
    assert np.arctan2(middle[1, 0], middle[0, 0]) == pytest.approx(np.pi / 4)


def test_transform_keeps_the_dtype():
    points = np.array([[1, 0, 0]], np.float32)
    moved = transforms.transform(transforms.from_pose([0, 0, 1], [0, 0, 1, 0]), points)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, [[-1, 0, 1]], atol=1e-6)
