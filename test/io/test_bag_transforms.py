"""Poses and mounts from the transforms of a bag."""

import numpy as np
import pytest
from drive_harness import MOUNT, drive_topics, pose, stamp, write_bag
from pipeline_harness import Recorder

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.io.bag_file import TF
from kdmos_ros.io.bag_messages import transform_message
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.recorded_tf import RecordedTf
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter


def tf_bag(path, shift_ns=0):
    topics = drive_topics()
    del topics["/odom"]
    links = [transform_message(stamp(i) + shift_ns, "odom", "base_link", pose(i)) for i in range(3)]
    topics["/tf"] = (TF, [(stamp(i), link) for i, link in enumerate(links)])
    return write_bag(path, topics)


@pytest.mark.parametrize("shift_ns", [0, 100, -100])
def test_poses_of_the_lidar_without_odometry(tmp_path, shift_ns):
    with BagReader(tf_bag(tmp_path / "bag", shift_ns), pose_source="tf") as bag:
        poses = RecordedTf(bag.read_transforms(), bag.base_frame, "odom")
    for i in range(3):
        poses.observe(StampedCloud(stamp(i), "lidar", np.ones((1, 3), np.float32)))
        np.testing.assert_allclose(poses.wait(stamp(i), 0.0).pose, pose(i) @ MOUNT, atol=1e-5)


def test_given_mount_needs_the_base_only(tmp_path):
    with BagReader(tf_bag(tmp_path / "bag"), pose_source="tf") as bag:
        poses = RecordedTf(bag.read_transforms(), bag.base_frame, "odom", gives_sensor=False)
    poses.observe(StampedCloud(stamp(1), "unknown", np.ones((1, 3), np.float32)))
    np.testing.assert_allclose(poses.wait(stamp(1), 0.0).pose, pose(1))


def test_what_is_missing_is_named(tmp_path):
    with BagReader(tf_bag(tmp_path / "bag"), pose_source="tf") as bag:
        found = bag.read_transforms()
    for frames, time, reason in (
        (("map", "lidar"), stamp(1), "unknown_frame"),
        (("odom", "lidar"), stamp(9), "too_new"),
    ):
        with pytest.raises(PoseError) as caught:
            found.look_up(*frames, time)
        assert caught.value.reason == reason
    turned_back = found.look_up("lidar", "odom", stamp(2)) @ pose(2) @ MOUNT
    np.testing.assert_allclose(turned_back, np.eye(4), atol=1e-12)


def test_mount_on_a_moving_joint(tmp_path):
    topics = drive_topics()
    del topics["/tf_static"]
    raised = [make_transform(np.eye(3), [0, 0, 1.0 + 0.1 * i]) for i in range(3)]
    links = [transform_message(stamp(i), "base_link", "lidar", raised[i]) for i in range(3)]
    topics["/tf"] = (TF, [(stamp(i), link) for i, link in enumerate(links)])
    with BagReader(write_bag(tmp_path / "bag", topics)) as bag:
        np.testing.assert_allclose(bag.base_T_sensor, raised[0])
        for i in range(3):
            found = bag.extrinsics.look_up("base_link", "lidar", stamp(i), 0.0)
            np.testing.assert_allclose(found, raised[i])
        scans = list(replay(bag, OnlineSegmenter(Recorder())))
    assert [scan.dropped for scan in scans] == [""] * 3
    for i, scan in enumerate(scans):
        np.testing.assert_allclose(scan.scan.pose, pose(i) @ raised[i])
        np.testing.assert_allclose(scan.scan.base_T_sensor, raised[i])


def test_joint_whose_transforms_begin_after_the_first_cloud(tmp_path):
    topics = drive_topics()
    del topics["/tf_static"]
    links = [transform_message(stamp(i), "base_link", "lidar", MOUNT) for i in (1, 2)]
    topics["/tf"] = (TF, [(stamp(i), link) for i, link in enumerate(links, 1)])
    with BagReader(write_bag(tmp_path / "bag", topics)) as bag:
        np.testing.assert_allclose(bag.base_T_sensor, MOUNT)
        dropped = [scan.dropped for scan in replay(bag, OnlineSegmenter(Recorder()))]
    assert dropped == ["no_extrinsic", "", ""]
