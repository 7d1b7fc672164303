"""Scans are turned upright, by the mount and by how the base sways."""

from dataclasses import replace

import numpy as np
import pytest

from kdmos_ros.features.ground_tilt import ground_normal
from kdmos_ros.features.upright import Upright
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.geometry.transforms import invert, make_transform, transform
from kdmos_ros.scan import Scan

MOUNT = parse_transform("0.3 0.1 1.7 0.4 -1.2 2.0")
LEVEL = parse_transform("0 0 1.7")
STEP_NS = 100_000_000


def tilt(degrees, axis="pitch"):
    """A turn (4, 4) about x (roll) or y."""
    angle = np.radians(degrees)
    return parse_transform([0, 0, 0, angle, 0, 0] if axis == "roll" else [0, 0, 0, 0, angle, 0])


def world_scan(stamp_ns, base_in_odom, mount=LEVEL):
    """Four known points, as a sensor at odom_T_base @ mount sees them."""
    world = np.array([[10, 0, 0], [0, 20, 1], [-5, 5, 2], [3, -4, 0.5]], np.float64)
    pose = base_in_odom @ mount
    points = transform(invert(pose), world).astype(np.float32)
    return Scan(points, None, stamp_ns, pose, mount)


def up_of(scan):
    """The upright frame's z axis in the odometry frame."""
    return scan.pose[:3, 2]


def degrees_apart(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def test_a_level_scan_stays_as_it_is():
    scan = world_scan(0, np.eye(4))
    turned = Upright(np.eye(4)).turn(scan)
    assert turned.points is scan.points
    np.testing.assert_array_equal(turned.pose, scan.pose)
    np.testing.assert_array_equal(turned.base_T_sensor, LEVEL)


def test_a_scan_stands_on_the_axes_of_its_base():
    base = parse_transform("4 5 0.2 0 0 0.7")
    scan = world_scan(0, base, MOUNT)
    turned = Upright(np.eye(4)).turn(scan)
    np.testing.assert_allclose(turned.pose[:3, :3], base[:3, :3], atol=1e-12)
    np.testing.assert_array_equal(turned.pose[:3, 3], scan.pose[:3, 3])
    np.testing.assert_allclose(turned.base_T_sensor, make_transform(np.eye(3), MOUNT[:3, 3]))
    in_odom = [transform(s.pose, s.points.astype(np.float64)) for s in (scan, turned)]
    np.testing.assert_allclose(in_odom[0], in_odom[1], atol=1e-5)


def test_a_scan_without_a_mount_takes_the_usual_one():
    scan = world_scan(0, np.eye(4), MOUNT)
    turned = Upright(MOUNT).turn(replace(scan, base_T_sensor=None))
    np.testing.assert_array_equal(turned.points, Upright(np.eye(4)).turn(scan).points)


def test_no_return_remains_no_return():
    points = np.array([[np.nan, 1, 2], [0, 0, 0], [np.inf, 0, 0], [1, 2, 3]], np.float32)
    turned = Upright(np.eye(4)).turn(Scan(points, None, 0, MOUNT, MOUNT)).points
    size = np.abs(turned).sum(axis=1)
    assert not np.isfinite(size[[0, 2]]).any() and size[1] == 0 and size[3] > 0


@pytest.mark.parametrize("axis", ["pitch", "roll"])
@pytest.mark.parametrize("begins", [np.eye(4), tilt(70.0)], ids=["level", "tilted odometry"])
def test_a_base_that_bobs_has_its_mean_axis_for_up(axis, begins):
    upright = Upright(np.eye(4))
    truth = begins[:3, 2]
    worst = 0.0
    for k in range(40):
        bobs = tilt(10 * np.sin(2 * np.pi * 2.0 * 0.1 * k + 0.4), axis)
        scan = upright.turn(world_scan(k * STEP_NS, begins @ bobs))
        if k >= 10:
            worst = max(worst, degrees_apart(up_of(scan), truth))
    assert worst < 1.5


def test_the_height_of_a_tilted_base_is_along_up():
    upright = Upright(np.eye(4))
    mount = parse_transform("1.0 0 1.7")
    for k in range(21):
        sign = (-1) ** k
        scan = upright.turn(world_scan(k * STEP_NS, tilt(8.0 * sign), mount))
    expected = (tilt(8.0)[:3, :3] @ mount[:3, 3])[2]
    assert scan.base_T_sensor[2, 3] == pytest.approx(expected, abs=0.01)


def test_springs_and_slopes_are_followed():
    upright = Upright(np.eye(4))
    for k in range(40):
        degrees = 0.8 * np.sin(k) + (6.0 if k >= 20 else 0.3 * k)
        scan = world_scan(k * STEP_NS, tilt(degrees))
        assert upright.turn(scan).points is scan.points


def test_a_scan_that_waited_for_later_ones_is_turned_as_it_was():
    upright = Upright(np.eye(4))
    scans = [world_scan(k * STEP_NS, tilt(9.0 * np.sin(1.3 * k))) for k in range(30)]
    first = [upright.turn(scan) for scan in scans]
    again = upright.turn(scans[25])
    np.testing.assert_array_equal(again.points, first[25].points)
    assert not np.array_equal(again.points, scans[25].points)


def test_after_a_reset_nothing_is_known_of_swaying():
    upright = Upright(np.eye(4))
    for k in range(20):
        upright.turn(world_scan(k * STEP_NS, tilt(9.0 * (-1) ** k)))
    scan = world_scan(20 * STEP_NS, tilt(9.0))
    assert upright.turn(scan).points is not scan.points
    upright.reset()
    assert upright.turn(scan).points is scan.points


def ground_scan(stamp_ns, odom_T_base, told=LEVEL):
    """Flat ground with some boxes on it, told with another mount than the true one."""
    rng = np.random.default_rng(1)
    rho, phi = rng.uniform(2, 20, 6000), rng.uniform(-np.pi, np.pi, 6000)
    z = np.where((phi > 0.5) & (phi < 1.2) & (rho > 5), 1.5, rng.normal(0, 0.02, 6000))
    world = np.stack([rho * np.cos(phi), rho * np.sin(phi), z], axis=1)
    pose = odom_T_base @ LEVEL
    return Scan(transform(invert(pose), world).astype(np.float32), None, stamp_ns, pose, told)


def test_the_first_scan_of_a_base_that_leans_stands_on_the_ground():
    turned = Upright(np.eye(4)).turn(ground_scan(0, tilt(9.0)))
    assert degrees_apart(up_of(turned), np.array([0, 0, 1.0])) < 0.5


def test_a_base_that_leans_a_little_is_believed():
    scan = ground_scan(0, tilt(4.0))
    assert Upright(np.eye(4)).turn(scan).points is scan.points


@pytest.mark.parametrize("degrees", [15.0, -25.0])
def test_a_mount_that_is_told_wrongly_leans_all_the_time(degrees):
    upright = Upright(np.eye(4))
    for k in range(30):
        turned = upright.turn(ground_scan(k * STEP_NS, tilt(degrees)))
    assert degrees_apart(up_of(turned), np.array([0, 0, 1.0])) < 0.5


def test_the_ground_is_asked_at_the_start_only(monkeypatch):
    asked = []
    monkeypatch.setattr("kdmos_ros.features.upright.ground_normal", asked.append)
    upright = Upright(np.eye(4))
    for k in range(20):
        upright.turn(ground_scan(k * STEP_NS, np.eye(4)))
    assert len(asked) == 5


def test_no_ground_is_seen_in_a_cloud_of_walls():
    rng = np.random.default_rng(2)
    walls = np.stack([np.full(4000, 6.0), *rng.uniform(-5, 5, (2, 4000))], axis=1)
    assert ground_normal(walls.astype(np.float32)) is None
    assert ground_normal(np.full((500, 3), np.nan, np.float32)) is None
