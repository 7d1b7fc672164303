import math

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.poses.jump_detection import Stamped, jump

SECOND = 1_000_000_000


def at(t, x, yaw=0.0):
    pose = from_pose([x, 0, 0], [0, 0, math.sin(yaw / 2), math.cos(yaw / 2)])
    return Stamped(round(t * SECOND), pose)


@pytest.mark.parametrize("direction", [1, -1])
def test_leaving_the_course_is_a_jump_in_both_directions_of_time(direction):
    farther, nearest = at(0, 0), at(0.1 * direction, 2 * direction)
    assert jump(at(0.2 * direction, 4 * direction), nearest, farther, 1.0) == ""
    assert "off its course" in jump(at(0.2 * direction, 0), nearest, farther, 1.0)


def test_what_a_vehicle_can_do_at_most_is_no_jump():
    farther, nearest = at(0, 0), at(0.1, 2)
    assert jump(at(0.2, 4 - 0.1), nearest, farther, 0.0) == ""  # braking at 10 m/s^2
    assert jump(at(0.2, 4 - 0.5), nearest, farther, 0.0)


def test_turning_on_the_spot_is_no_jump_but_a_new_heading_is():
    farther, nearest = at(0, 0, 0.0), at(0.1, 0, 0.3)
    assert jump(at(0.2, 0, 0.6), nearest, farther, 1.0) == ""
    reason = jump(at(0.2, 0, 1.2), nearest, farther, 1.0)
    assert "turned by 34 degrees" in reason


def test_turn_across_half_a_revolution():
    assert jump(at(0.2, 0, 3.3), at(0.1, 0, 3.0), at(0, 0, 2.7), 1.0) == ""


def test_without_a_speed_only_the_impossible_is_a_jump():
    nearest = at(0, 0)
    assert jump(at(0.1, 8.9), nearest, None, 1.0) == ""
    assert jump(at(0.1, 9.1), nearest, None, 1.0)
    assert jump(at(0.1, 0, 2.0), nearest, None, 1.0)


def test_speed_from_a_very_short_time_is_not_trusted():
    """Two messages a microsecond apart, 5 cm of noise: 50 km/s."""
    farther, nearest = at(0, 0), at(1e-6, 0.05)
    assert jump(at(0.1, 1.0), nearest, farther, 1.0) == ""


def test_noise_of_rotations_that_are_nearly_equal():
    pose = from_pose([0, 0, 0], np.array([1e-9, 0, 0, 1.0]))
    assert jump(Stamped(2, pose), Stamped(1, pose), Stamped(0, pose), 0.0) == ""
