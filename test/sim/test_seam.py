"""Sweeps that begin anywhere: when points were taken, and what deskewing makes of them."""

import numpy as np
import pytest

from kdmos_ros.sim import Kind, SweepTiming, make_drive
from kdmos_ros.sim.solids import HALF

OPTIONS = {"duration_s": 0.6, "rate_hz": 10.0, "scene": "street", "ego": "driving",
           "odometry_noise": False, "movers": True}  # fmt: skip


def azimuth(frame):
    return np.arctan2(frame.scan.points[:, 1], frame.scan.points[:, 0])


def in_world(points, frame):
    return points @ frame.true_pose[:3, :3].T + frame.true_pose[:3, 3]


def test_the_seam_wanders_from_scan_to_scan():
    drive = make_drive(4, "vls128", sweep=SweepTiming(True, seam_drift_deg_s=150.0), **OPTIONS)
    seams = []
    for frame in drive:
        first, last = np.argmin(frame.seconds), np.argmax(frame.seconds)
        gap = (azimuth(frame)[last] - azimuth(frame)[first] + np.pi) % (2 * np.pi) - np.pi
        assert abs(gap) < np.deg2rad(4)  # the last ray is next to the first
        seams.append(azimuth(frame)[first])
    steps = np.rad2deg(np.diff(np.unwrap(seams)))
    np.testing.assert_allclose(steps, 15.0, atol=4)


def from_surface(points, shot, half):
    """Distance (N,) to the nearest surface of boxes."""
    local = np.einsum("mij,nmj->nmi", shot.axes, points[:, None] - shot.center)
    beyond = np.abs(local) - half
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=2)
    inside = np.minimum(beyond.max(axis=2), 0)
    return np.abs(outside + inside).min(axis=1)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("drift", [None, -90.0])
def test_points_deskewed_by_their_times_are_where_they_would_have_been(fraction, drift):
    drive = make_drive(9, "os1_64", sweep=SweepTiming(True, fraction, drift), **OPTIONS)
    begin, end = {0.0: (0, 0.1), 0.5: (-0.05, 0.05), 1.0: (-0.1, 0)}[fraction]
    houses = drive.world.kind == Kind.BUILDING
    for index in (1, 4):
        frame = drive[index]
        assert frame.seconds.min() == pytest.approx(begin, abs=4e-3)
        assert frame.seconds.max() == pytest.approx(end, abs=4e-3)
        shot = drive.world.snapshot(float(drive.times[index]))
        shot = type(shot)(shot.center[houses], shot.axes[houses], shot.yaw[houses])
        mine = np.flatnonzero(frame.kind == Kind.BUILDING)[::7]
        assert len(mine) > 150
        raw, right = (
            np.quantile(from_surface(in_world(p[mine], frame), shot,
                                     drive.world.rows[houses, HALF]), 0.9)
            for p in (frame.scan.points, drive.deskewed(frame).points)
        )  # fmt: skip
        assert right < 0.06 and raw > 2 * right


def test_movers_stay_where_they_were_at_their_own_time():
    checked = 0
    for seed in range(9, 13):
        drive = make_drive(
            seed, "hdl64e", sweep=SweepTiming(True, seam_drift_deg_s=60.0), **OPTIONS
        )
        frame = drive[3]
        moved = drive.deskewed(frame)
        assert moved.pose is frame.scan.pose and moved.stamp_ns == frame.scan.stamp_ns
        world = in_world(moved.points, frame)
        cars = drive.world.moving(float(drive.times[3])) & (drive.world.kind == Kind.CAR)
        for car in np.unique(drive.world.instance[cars]):
            mine = np.flatnonzero(frame.instance == car)
            if len(mine) < 20:
                continue
            own = drive.world.instance == car
            when = float(np.median(frame.seconds[mine]))
            mine = mine[np.abs(frame.seconds[mine] - when) < 1e-3]
            shot = drive.world.snapshot(float(drive.times[3]) + when)
            shot = type(shot)(shot.center[own], shot.axes[own], shot.yaw[own])
            off = from_surface(world[mine], shot, drive.world.rows[own, HALF])
            assert np.median(off) < 0.08
            checked += 1
    assert checked > 4
