"""Odometry packages in the node: messages of their layouts, without DDS. See test/poses."""

import numpy as np
import odometry_packages as packages
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import tf_stand_in
from logger_harness import Logger

from kdmos_ros.defaults import PARAMETERS
from kdmos_ros.errors import ReasonedError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.pipeline.localization import Localizer
from kdmos_ros.pipeline.odometry_source import OdometrySource
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses import auto_poses
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_messages import POSE_TYPES
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.ros.pose_source_factory import PoseSourceFactory
from kdmos_ros.ros.tf_extrinsics import make_extrinsics
from kdmos_ros.ros.tf_listener import listen_to_tf
from kdmos_ros.throttled_log import ThrottledLog

DRIVE = packages.small_drive()


class Node:
    """What the node has of poses, with the topic `odom` remapped to one of a recording."""

    def __init__(self, topics, odom, clouds="", **parameters):
        self.parameters = {**PARAMETERS, "pose_timeout": 0.0, **parameters}
        self.logger, self.statistics = Logger(), Statistics()
        log = ThrottledLog(self.logger, 0)
        air = tf_stand_in.Air()
        for topic in ("/tf_static", "/tf"):
            air.sent += [(topic, message) for _, message in topics.get(topic, (None, []))[1]]
        tf = listen_to_tf(air, self.parameters)
        self.odometry = OdometrySource(
            PoseBuffer(), odom or "/odom", "base_link", self.statistics, log, bool(odom)
        )
        msgtype, rows = topics.get(odom, ("", []))
        for _, message in sorted(rows, key=lambda row: row[0]):
            self.odometry.receive(message, msgtype)
        self.poses = PoseSourceFactory(tf, self.parameters, self.odometry, log).make()
        extrinsics = make_extrinsics(tf, "")
        self.localizer = Localizer(self.poses, extrinsics, self.parameters, log)
        kinds = ("sensor_msgs/msg/PointCloud2",)
        own = [name for name, (kind, _) in topics.items() if kind in kinds]
        self.clouds = [message for _, message in topics[clouds or own[0]][1]]

    def locate(self):
        """Stamp and Location of each cloud that has one."""
        for message in self.clouds:
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            cloud = StampedCloud(stamp, message.header.frame_id, decode(message).points)
            try:
                yield stamp, self.localizer.locate(cloud)
            except ReasonedError as error:
                self.logger.error(str(error))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """tf2 stands in, and nothing is waited for."""
    monkeypatch.setattr(auto_poses.AutoPoses.__init__, "__defaults__", (0.0, lambda: 0.0))
    return tf_stand_in.install(monkeypatch)


@pytest.mark.parametrize(
    ("made", "odom", "clouds", "kind", "missing"),
    [
        (packages.kiss_icp, "/kiss/odometry", "", "pose", 0),
        (packages.kiss_icp, "", "", "tf", 0),
        (packages.genz_icp, "", "", "tf", 0),
        (packages.rko_lio, "/rko_lio/odom", "", "pose", 1),
        (packages.fast_lio, "/Odometry", "/cloud_registered_body", "pose", 0),
        (packages.lio_sam, "", "", "tf", 0),
        (packages.rtabmap, "/rtabmap/odom", "", "pose", 0),
        (packages.robot_localization, "/odometry/filtered", "", "pose", 0),
        (packages.wheels, "/diff_drive_controller/odom", "", "pose", 0),
        (packages.motion_capture, "/vrpn_mocap/robot/pose", "", "pose", 0),
    ],
)
def test_the_node_is_right_too(made, odom, clouds, kind, missing):
    node = Node(made(DRIVE), odom, clouds)
    found = list(node.locate())
    assert node.poses.kind == kind, node.logger.lines
    assert len(found) == len(DRIVE.stamps) - missing, node.logger.lines
    begin, first = found[0]
    for stamp, place in found[1:]:
        true = invert(DRIVE.lidar(begin)) @ DRIVE.lidar(stamp)
        np.testing.assert_allclose(invert(first.pose) @ place.pose, true, atol=0.01)
        assert place.base_T_lidar[2, 3] == pytest.approx(1.8, abs=0.1)
    lost = made is packages.rtabmap
    assert node.statistics.snapshot().events.get("bad_odometry", 0) == lost


def test_odometry_without_a_child_frame_gives_way_to_tf():
    topics = packages.genz_icp(DRIVE)
    node = Node(topics, "")
    node.odometry.topic = "/odom"
    for _, message in topics["/genz/odometry"][1]:
        node.odometry.receive(message, POSE_TYPES[0])
    assert len(list(node.locate())) == len(DRIVE.stamps)
    assert "child frame not named" in node.poses.figures()["pose_source"]


def test_a_wrong_fixed_frame_is_told_with_the_right_one():
    node = Node(packages.kiss_icp(DRIVE), "", pose_source="tf")
    assert list(node.locate()) == []
    assert "TF moves it in odom_lidar: set the parameter fixed_frame" in node.logger.lines[-1]


def test_a_topic_that_the_user_named_is_never_replaced():
    node = Node(packages.genz_icp(DRIVE), "/nowhere")
    assert list(node.locate()) == []
    assert node.poses is node.odometry
    assert "no odometry received on /nowhere: check that topic" in node.logger.lines[-1]
