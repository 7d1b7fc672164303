"""Each fault is told by its cause, and nothing is said of a drive that is well."""

import re
from pathlib import Path

import numpy as np
import pytest
from avenue_harness import MOUNT, PERIOD_M, avenue, pitch, points_at, yaw
from logger_harness import Logger

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.health.complaints import CHECKS, Level
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.labels import MOVING, STATIC
from kdmos_ros.scan import Scan
from kdmos_ros.throttled_log import ThrottledLog


def causes(scans):
    monitor = HealthMonitor()
    for scan, labels in scans:
        monitor.observe(scan, labels)
    return {complaint.cause: complaint for complaint in monitor.current}


def test_a_drive_that_is_well_has_no_complaint():
    assert causes(avenue(60)) == {}


@pytest.mark.parametrize("turn", [pitch(90), pitch(-45), yaw(120) @ pitch(60)])
@pytest.mark.parametrize("yaw_error", [0.0, 5.0])
def test_the_sensor_may_be_mounted_as_it_likes(turn, yaw_error):
    def remounted():
        for scan, labels in avenue(60, mount=MOUNT @ yaw(yaw_error)):
            points = scan.points @ turn[:3, :3].astype(np.float32)
            pose, mount = scan.pose @ turn, scan.base_T_sensor @ turn
            yield Scan(points, None, scan.stamp_ns, pose, mount), labels

    assert ("mount_yaw" in causes(remounted())) == (yaw_error > 0)


def test_a_robot_that_stands_has_no_complaint():
    assert causes(avenue(60, speed=0.0)) == {}


def test_odometry_that_stands_still_on_a_driving_robot():
    found = causes(avenue(60, told=lambda i, base: np.eye(4)))
    assert found["odometry_frozen"].level is Level.ERROR
    assert "odom" in found["odometry_frozen"].text


@pytest.mark.parametrize("degrees", [5.0, -4.0])
def test_a_mount_that_is_turned(degrees):
    found = causes(avenue(60, mount=MOUNT @ yaw(degrees)))
    assert "mount_yaw" in found
    side = "right" if degrees > 0 else "left"
    told = re.search(rf"by roughly (\d+) degrees to the {side}", found["mount_yaw"].text)
    assert 0.5 < float(told.group(1)) / abs(degrees) < 2
    assert "base_to_lidar" in found["mount_yaw"].text


def test_a_mount_that_is_tilted():
    found = causes(avenue(60, mount=MOUNT @ pitch(5)))
    assert "by -5 degrees ahead and 0 to the left" in found["mount_tilt"].text


def test_poses_that_lead_elsewhere():
    def sideways(i, base):
        return make_transform(np.eye(3), [0, base[0, 3], 0])

    found = causes(avenue(60, told=sideways))
    assert "clocks" in found["poses_do_not_fit"].text


def test_poses_that_jump():
    rng = np.random.default_rng(0)
    jumps = rng.normal(0, 0.2, (60, 3))
    found = causes(avenue(60, told=lambda i, base: make_transform(np.eye(3), jumps[i]) @ base))
    assert "pose_jitter" in found


def test_a_robot_that_brakes_hard_does_not_jump():
    found = causes(
        avenue(
            60, told=lambda i, base: make_transform(np.eye(3), [0.5 * 4.5 * (i * 0.2) ** 2, 0, 0])
        )
    )
    assert "pose_jitter" not in found


def test_houses_that_move():
    scans = ((scan, np.full(len(labels), MOVING, np.uint8)) for scan, labels in avenue(60))
    found = causes(scans)
    assert found["everything_moves"].level is Level.ERROR


def heaped(scan, share):
    points = scan.points.copy()
    n = round(share * len(points))
    points[:n] *= 0.65 / np.linalg.norm(points[:n], axis=1, keepdims=True)
    return Scan(points, None, scan.stamp_ns, scan.pose, scan.base_T_sensor)


def test_returns_heaped_at_one_distance():
    found = causes((heaped(scan, 0.6), labels) for scan, labels in avenue(60))
    assert "60% of the returns lie 0.7 m" in found["heaped_returns"].text
    assert "min_range" in found["heaped_returns"].text


def test_a_view_that_is_lost():
    def covered():
        for i, (scan, labels) in enumerate(avenue(90)):
            kept = np.full(len(labels), True) if i < 30 else scan.points[:, 0] > 0
            yield (
                Scan(scan.points[kept], None, scan.stamp_ns, scan.pose, scan.base_T_sensor),
                labels[kept],
            )

    assert "came from 36" in causes(covered())["view_lost"].text


def test_clouds_that_hold_nothing():
    monitor = HealthMonitor()
    for i in range(20):
        monitor.observe_nothing(i * 100_000_000)
    assert [complaint.cause for complaint in monitor.current] == ["empty_clouds"]


def test_a_history_that_is_cleared_with_every_cloud():
    monitor = HealthMonitor()
    for scan, labels in avenue(20):
        monitor.cleared("the pose jumped")
        monitor.observe(scan, labels)
    assert [complaint.cause for complaint in monitor.current] == ["many_resets"]
    assert "the pose jumped" in monitor.current[0].text


def test_a_complaint_ends_with_its_cause_and_stays_in_the_summary():
    logger = Logger()
    monitor = HealthMonitor(ThrottledLog(logger, 0))
    frozen = make_transform(np.eye(3), [5.0 * 0.2 * 40, 0, 0])
    for scan, labels in avenue(140, told=lambda i, base: frozen if i < 40 else base):
        monitor.observe(scan, labels)
    assert monitor.current == []
    [line] = [s for s in monitor.summary() if "odometry_frozen" in s]
    assert line.startswith("error (odometry_frozen, ")
    assert len([line for line in logger.lines if "stands still" in line]) == 1


def test_another_drive_begins_afresh():
    monitor = HealthMonitor()
    for scan, labels in avenue(60, told=lambda i, base: np.eye(4)):
        monitor.observe(scan, labels)
    monitor.begin()
    assert monitor.current == []
    for scan, labels in avenue(60):
        monitor.observe(scan, labels)
    assert monitor.current == []


def test_time_that_goes_back_is_survived():
    monitor = HealthMonitor()
    for _ in range(2):
        for scan, labels in avenue(40):
            monitor.observe(scan, labels)
        monitor.cleared("the clouds' time went back")
    assert monitor.current == []


@pytest.mark.parametrize("n", [0, 1, 50])
def test_scans_of_hardly_any_point_say_nothing(n):
    monitor = HealthMonitor()
    for i in range(20):
        points = np.zeros((n, 3), np.float32)
        scan = Scan(points, None, i * 200_000_000, np.eye(4))
        monitor.observe(scan, np.zeros(n, np.uint8))
    assert not [c for c in monitor.current if c.level is Level.ERROR]


@pytest.mark.slow
def test_a_healthy_hour():
    # A tenth of the avenue's period each second: ten scans are all there are.
    step = PERIOD_M / 10
    period = [points_at(step * k) for k in range(10)]
    monitor = HealthMonitor()
    for i in range(3600):
        points = period[i % len(period)]
        pose = make_transform(np.eye(3), [step * i, 0, 0]) @ MOUNT
        scan = Scan(points, None, i * 1_000_000_000, pose, MOUNT)
        monitor.observe(scan, np.full(len(points), STATIC, np.uint8))
    assert monitor.summary() == []


def test_every_cause_has_a_test_here():
    text = Path(__file__).read_text()
    assert [cause for cause in CHECKS if f'"{cause}"' not in text] == []
