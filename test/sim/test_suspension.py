"""A vehicle's body rocks on its springs: slowly, little, and within a sweep too."""

import numpy as np
import pytest

from kdmos_ros.sim import DISTORTED, Kind, make_drive
from kdmos_ros.sim.paths import trace
from kdmos_ros.sim.suspension import suspend
from kdmos_ros.sim.traffic import clock, follow, standing

TIMES = clock(12.0)


def drive_at(speed: np.ndarray):
    s = np.concatenate([[0.0], np.cumsum(np.diff(TIMES) * speed[1:])])
    return follow(trace((0.0, 0.0, 0.0), [(400.0, 0.0)]), s, speed)


def test_who_stands_does_not_rock():
    lean = np.tile([1.0, 2.0, 0.3, 0.02, -0.03, 1.5], (len(TIMES), 1))
    out = suspend(lean, standing((1, 2, 1.5), len(TIMES)), np.random.default_rng(0))
    np.testing.assert_allclose(out, lean, atol=1e-9)


def test_slopes_are_followed_and_bumps_smoothed():
    ego = drive_at(np.full(len(TIMES), 10.0))
    climb = np.zeros((len(TIMES), 6))
    climb[:, 2] = 0.05 * 10 * TIMES
    out = suspend(climb, ego, np.random.default_rng(1))
    assert np.abs(out[40:, 2] - climb[40:, 2]).max() < 0.02
    rough = np.zeros((len(TIMES), 6))
    rough[:, 4] = 0.01 * np.sin(2 * np.pi * 6 * TIMES)  # faster than springs follow
    shaken = suspend(rough, ego, np.random.default_rng(1))
    assert shaken[40:, 4].std() < 0.5 * rough[:, 4].std()


def test_it_dives_by_tenths_of_a_degree_when_braking():
    speed = np.clip(12 - 4 * np.clip(TIMES - 5, 0, None), 0, None)
    dives = []
    for seed in range(10):
        out = suspend(np.zeros((len(TIMES), 6)), drive_at(speed), np.random.default_rng(seed))
        dives.append(np.rad2deg(out[(TIMES > 6) & (TIMES < 7.5), 4].mean()))
        assert np.rad2deg(out[TIMES < 4.5, 4].std()) < 0.1
    assert 0.1 < np.mean(dives) < 1.0


@pytest.mark.parametrize("seed", [1, 4])
def test_points_of_a_rocking_sweep_lie_on_the_ground(seed):
    drive = make_drive(seed, "hdl32e", duration_s=3.0, scene="street", ego="driving",
                       sweep=DISTORTED, movers=False)  # fmt: skip
    off = []
    for frame, time in ((drive[i], drive.times[i]) for i in (5, 15, 25)):
        road = np.flatnonzero(frame.kind == Kind.ROAD)[::50]
        for n in road:
            pose = drive.world.ego_pose(time + float(frame.seconds[n])) @ drive.base_T_sensor
            x, y, z = pose[:3, :3] @ frame.scan.points[n].astype(float) + pose[:3, 3]
            off.append(z - float(drive.world.ground.height(x, y)))
    assert len(off) > 300
    assert np.percentile(np.abs(off), 95) < 0.05
