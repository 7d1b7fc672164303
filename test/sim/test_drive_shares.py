"""Simulated drives taken together: speeds, leaders, parked vehicles beside the ego."""

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import invert
from kdmos_ros.labels import MOVABLE
from kdmos_ros.sim import make_drive

pytestmark = pytest.mark.slow


def ego_speed(drive):
    way = np.diff(drive.true_base_poses[:, :3, 3], axis=0)
    return np.linalg.norm(way, axis=1).sum() / (drive.times[-1] - drive.times[0])


def participants(drive, time):
    """Positions (P, 3) in the ego's frame and whether each moves."""
    world = drive.world
    ego_from_world = invert(world.ego_pose(time))
    center = world.snapshot(time).center @ ego_from_world[:3, :3].T + ego_from_world[:3, 3]
    first = [int(np.argmax(world.instance == i)) for i in range(1, world.instance.max() + 1)]
    return center[first], world.moving(time)[first]


@pytest.fixture(scope="module")
def drives():
    return [make_drive(500 + seed, "vlp16", duration_s=3.0) for seed in range(80)]


def test_four_in_ten_go_at_eight_to_seventeen_metres_a_second(drives):
    speeds = np.array([ego_speed(d) for d in drives])
    assert 0.3 < ((speeds >= 8) & (speeds <= 17)).mean() < 0.55
    assert (speeds < 1).mean() > 0.1
    assert speeds.max() < 20


def test_a_quarter_of_those_that_drive_follow_somebody(drives):
    led = []
    for drive in drives:
        if drive.ego == "driving":
            at, moving = participants(drive, 1.5)
            led.append((moving & (at[:, 0] > 4) & (at[:, 0] < 40) & (abs(at[:, 1]) < 1.8)).any())
    assert 0.15 < np.mean(led) < 0.5


def test_fast_egos_pass_parked_vehicles_near_and_farther_off(drives):
    near, off, right = [], [], []
    for drive in drives:
        if drive.scene == "street" and ego_speed(drive) > 8:
            at, moving = participants(drive, 1.5)
            beside = ~moving & (abs(at[:, 0]) < 30)
            near.append((beside & (abs(at[:, 1]) < 8)).sum())
            right.append((beside & (at[:, 1] > -3.5) & (at[:, 1] < -1.5)).sum())
            off.append((beside & (abs(at[:, 1]) > 8) & (abs(at[:, 1]) < 17)).sum())
    assert np.mean(np.array(right) >= 2) > 0.4  # next to its own lane
    assert np.median(near) >= 6 and np.mean(np.array(off) >= 3) > 0.3


def test_parked_vehicles_passed_at_speed_are_movable():
    drive = make_drive(3, duration_s=0.5, scene="street", ego="driving", movers=False)
    frame = drive[3]
    vehicles = frame.instance > 0
    assert vehicles.sum() > 1000
    assert set(frame.labels[vehicles].tolist()) == {MOVABLE}
