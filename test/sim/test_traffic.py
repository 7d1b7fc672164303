"""Speeds, following, stop lines, labels' hysteresis, paths."""

import numpy as np
import pytest

from kdmos_ros.sim.paths import trace
from kdmos_ros.sim.traffic import (
    TIME_STEP,
    clock,
    desired_speed,
    drive_lane,
    follow,
    moving_flags,
)

TIMES = clock(20.0)
GO = np.zeros(len(TIMES), dtype=bool)


def test_followers_stop_behind_a_stopping_leader():
    desired = np.stack([np.where(TIMES < 5, 10.0, 0.0), *[np.full(len(TIMES), 12.0)] * 3])
    length = np.array([4.0, 12.0, 4.0, 5.0])
    start = np.array([0.0, -20.0, -40.0, -60.0])
    s, v = drive_lane(start, np.full(4, 10.0), length, desired, np.full(4, np.inf), GO, 1.6)
    gaps = -np.diff(s, axis=0) - 0.5 * (length[1:] + length[:-1])[:, None]
    assert gaps.min() > 0
    assert v[:, -1].max() < 0.5
    assert (v >= 0).all()


def test_red_light_stops_before_the_line_and_green_lets_go():
    desired = np.full((1, len(TIMES)), 10.0)
    red = TIMES < 12
    s, v = drive_lane(
        np.array([0.0]), np.array([10.0]), np.array([4.0]), desired, np.array([60.0]), red, 1.6
    )
    waiting = (TIMES > 10) & (TIMES < 12)
    assert (s[0, waiting] + 2.0).max() < 60 and v[0, waiting].max() < 1.0
    assert s[0, -1] > 65


def test_positions_integrate_speeds():
    desired = desired_speed(np.random.default_rng(0), TIMES, 8.0, "stop_and_go")[None]
    s, v = drive_lane(
        np.array([3.0]), np.array([8.0]), np.array([4.0]), desired, np.array([np.inf]), GO, 2.0
    )
    np.testing.assert_allclose(np.diff(s[0]), v[0, 1:] * TIME_STEP, atol=1e-9)


@pytest.mark.parametrize("style", ["steady", "starting", "stopping", "stop_and_go", "varying"])
def test_desired_speeds_are_plausible(style):
    for seed in range(5):
        speed = desired_speed(np.random.default_rng(seed), TIMES, 5.0, style)
        assert speed.shape == TIMES.shape
        assert speed.min() >= 0 and 0 < speed.max() <= 6.0


def test_moving_has_hysteresis():
    speed = np.array([[0.0, 0.6, 0.9, 0.6, 0.55, 0.4, 0.6, 0.7, 2.0]])
    assert moving_flags(speed)[0].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 1]


def test_a_path_turns_by_its_curvature_and_goes_on_straight():
    path = trace((1.0, 2.0, 0.0), [(10.0, 0.0), (np.pi / 2 * 20, 1 / 20)])
    x, y, yaw = path.at(path.length)
    assert yaw == pytest.approx(np.pi / 2, abs=0.05)
    assert (x, y) == pytest.approx((31.0, 22.0), abs=0.5)
    beyond = path.at(path.length + 5.0)
    assert beyond[:2] == pytest.approx([x, y + 5.0], abs=0.4)
    back = path.reversed()
    assert back.at(0.0)[:2] == pytest.approx([x, y])
    assert np.cos(back.at(0.0)[2] - yaw) == pytest.approx(-1)
    left = path.shifted(2.0).at(5.0)
    assert left[:2] == pytest.approx([6.0, 4.0], abs=0.05)


def test_a_track_knows_its_speed_when_driving_backwards():
    path = trace((0.0, 0.0, 0.0), [(50.0, 0.0)])
    s = 40 - 2.0 * (TIMES - TIMES[0])
    track = follow(path, s, np.full(len(TIMES), 2.0))
    assert (track.speed == 2.0).all()
    assert (np.diff(track.pose[:, 0]) < 0).all() and (track.pose[:, 2] == 0).all()
