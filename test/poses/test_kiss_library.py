"""KISS-ICP itself as a source of poses."""

import numpy as np
import pytest
from kiss_harness import STEP, room
from logger_harness import Logger

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.kiss_source import KissSource, load_kiss_icp
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.throttled_log import ThrottledLog

pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")


def test_the_library_follows_a_drive_through_a_hall():
    buffer = PoseBuffer(max_gap_s=2.0, max_jump_m=1.0)
    source = KissSource(buffer, "base_link", load_kiss_icp(1), ThrottledLog(Logger()))
    for i in range(12):
        truth = make_transform(np.eye(3), [0.3 * i, 0.05 * i, 0])
        points = np.concatenate([room(truth, seed=i), np.full((50, 3), np.nan, np.float32)])
        source.observe(StampedCloud(i * STEP, "lidar", points))
    pose, generation, _ = source.wait(11 * STEP, 0)
    assert generation == buffer.generation == 0
    np.testing.assert_allclose(pose[:3, 3], truth[:3, 3], atol=0.1)
    assert source.failed == source.restarts == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kitti_0048"])
def test_the_library_on_real_scans(real_data, name):
    pytest.importorskip("rosbags", reason="reads a bag")
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.pointcloud.codec import decode

    truth = np.loadtxt(real_data / name / "poses.txt").reshape(-1, 3, 4)
    buffer = PoseBuffer(max_gap_s=2.0, max_jump_m=1.0)
    source = KissSource(buffer, "base_link", load_kiss_icp(1), ThrottledLog(Logger()))
    stamps = []
    with BagReader(real_data / name / "bag") as bag:
        for stamp, message in bag.clouds():
            source.observe(StampedCloud(stamp, "velodyne", decode(message).points))
            stamps.append(stamp)
    assert buffer.generation == 0
    found = np.stack([buffer.at(stamp) for stamp in stamps])
    true_way = truth[-1][:, 3] - truth[0][:, 3]
    way = found[-1][:3, 3] - found[0][:3, 3]
    assert np.linalg.norm(way) == pytest.approx(np.linalg.norm(true_way), abs=0.3)
