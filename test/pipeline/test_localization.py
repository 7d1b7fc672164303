"""Where the LiDAR was, from poses and mounts of every kind."""

import numpy as np
import pytest
from drive_harness import MOUNT, pose, stamp
from pipeline_harness import Logger

from kdmos_ros.pipeline.localization import DroppedScan, Localizer
from kdmos_ros.poses.extrinsics import FixedExtrinsics, UnknownExtrinsics
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.poses.recorded_poses import RecordedPoses
from kdmos_ros.throttled_log import ThrottledLog

ODOMETRY = [(stamp(i), pose(i)) for i in range(3)]
OPTIONS = {"pose_timeout": 0.0, "base_frame": "base_link"}


def locate(frame, base_frame, extrinsics, logger=None):
    poses = RecordedPoses(ODOMETRY, base_frame, "odom")
    localizer = Localizer(poses, extrinsics, OPTIONS, ThrottledLog(logger or Logger()))
    return localizer.locate(StampedCloud(stamp(1), frame, np.ones((5, 3), np.float32)))


def test_registered_clouds_are_dropped_with_the_remedy():
    with pytest.raises(DroppedScan, match=r"registered already.*the LiDAR's own frame") as caught:
        locate("odom", "base_link", UnknownExtrinsics())
    assert caught.value.reason == "pose_of_registered_cloud"


def test_who_gives_a_mount_for_registered_clouds_is_warned():
    logger = Logger()
    located = locate("odom", "base_link", FixedExtrinsics(MOUNT), logger)
    np.testing.assert_allclose(located.pose, pose(1) @ MOUNT)
    assert any("registered already" in str(line) for line in logger.lines)


def test_given_mount_is_the_height_of_a_lidar_with_poses_of_its_own():
    located = locate("lidar", "lidar", FixedExtrinsics(MOUNT))
    np.testing.assert_allclose(located.pose, pose(1))
    np.testing.assert_array_equal(located.base_T_lidar, MOUNT)
    assert located.tracked_T_lidar is None


def test_height_is_learned_from_the_ground_and_said_once():
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-12, 12, (4000, 2)), rng.normal(-0.9, 0.02, 4000)])
    logger = Logger()
    poses = RecordedPoses(ODOMETRY, "lidar", "odom")
    localizer = Localizer(poses, UnknownExtrinsics(), OPTIONS, ThrottledLog(logger, 0))
    for i in range(3):
        cloud = StampedCloud(stamp(i), "lidar", ground.astype(np.float32))
        located = localizer.locate(cloud)
        np.testing.assert_array_equal(located.base_T_lidar[:3, :3], np.eye(3))
        assert located.base_T_lidar[2, 3] == pytest.approx(0.9, abs=0.05)
        assert located.tracked_T_lidar is None
    (line,) = [
        str(line) for line in logger.lines if "height above the ground is unknown" in str(line)
    ]
    assert "m above the ground, as its points show" in line
