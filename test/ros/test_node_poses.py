"""The node with poses that come from TF or from the clouds, over real DDS."""

import sys
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import tf_stand_in
from cloud_harness import make_cloud
from kiss_harness import Library, room
from node_harness import SECOND, START, STEP, node_bench, pose
from ros_harness import set_stamp

from kdmos_ros.errors import KdmosError
from kdmos_ros.poses import auto_poses, kiss_source


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def hall(step, n=3000):
    """A cloud in a hall, 0.3 m further each step."""
    points = room(pose(0.3 * step), n, seed=step)
    return make_cloud("plain_xyz", n, values={a: points[:, k] for k, a in enumerate("xyz")})[0]


def connected(client):
    client.until(client.clouds.get_subscription_count, "the node's subscription")


@pytest.mark.parametrize(
    ("source", "module", "remedy"),
    [("tf", "tf2_ros", "needs tf2_ros"), ("kiss_icp", "kiss_icp.kiss_icp", "pip install kiss-icp")],
)
def test_missing_library_is_said_on_configuring(bench, monkeypatch, source, module, remedy):
    monkeypatch.setitem(sys.modules, module, None)
    node, _, _ = bench(start=False, pose_source=source)
    with pytest.raises(KdmosError, match=remedy):
        node.start()
    assert node.state_name == "unconfigured"


def test_kiss_icp_needs_no_odometry_and_works_off_the_callbacks(bench, monkeypatch):
    threads = set()

    class Watched(Library):
        def register_frame(self, points, times):
            threads.add(threading.current_thread().name)
            super().register_frame(points, times)

    monkeypatch.setattr(kiss_source, "load_kiss_icp", lambda n: lambda: Watched([]))
    node, client, segmenter = bench(start=False, pose_source="kiss_icp")
    node.start()
    connected(client)
    for step in range(4):
        client.send_cloud(START + step * STEP, hall(step))
    client.until(lambda: len(client.labelled) == 4, "all clouds")
    assert threads == {"mos_worker"}
    assert client.odom.get_subscription_count() == 0
    assert [p[0, 3] for p in segmenter.poses] == pytest.approx([0, 1, 2, 3])
    assert segmenter.mount[2, 3] == 1.73
    client.until_status(kiss_icp__registered=4, kiss_icp__failed=0)


def test_without_odometry_the_clouds_give_poses_by_default(bench, monkeypatch):
    monkeypatch.setattr(kiss_source, "load_kiss_icp", lambda n: lambda: Library([]))
    monkeypatch.setattr(auto_poses.AutoPoses.__init__, "__defaults__", (0.0, lambda: 0.0))
    node, client, _ = bench(start=False, pose_source="auto")
    node.start()
    connected(client)
    for step in range(4):
        client.send_cloud(START + step * STEP, hall(step))
    client.until(lambda: len(client.labelled) == 4, "all clouds")
    client.until_status(kiss_icp__registered=4, dropped=0)
    said = "the clouds, by KISS-ICP (no odometry on /odom for 0 s)"
    assert client.status["pose_source"] == said


def test_odometry_is_waited_for_and_may_be_of_another_type(bench):
    from geometry_msgs.msg import PoseStamped

    node, client, segmenter = bench(start=False, pose_source="auto", base_to_lidar="0 0 1.7")
    client.node.destroy_publisher(client.odom)
    publisher = client.node.create_publisher(PoseStamped, "/odom", 10)
    client.until(lambda: node.count_publishers("/odom") == 1, "the pose topic alone")
    node.start()
    connected(client)
    client.until(publisher.get_subscription_count, "a subscription of its type")
    for step in range(3):
        message = PoseStamped()
        set_stamp(message.header, START + step * STEP)
        message.header.frame_id, message.pose.position.x = "world", float(step)
        publisher.publish(message)
    client.until_status(odometry__added=3)
    for step in range(3):
        client.send_cloud(START + step * STEP, make_cloud("kitti")[0])
    client.until(lambda: len(client.labelled) == 3, "all clouds")
    assert [p[0, 3] for p in segmenter.poses] == pytest.approx([0, 1, 2])
    client.until_status(pose_source="odometry on /odom")


def test_reset_and_reactivation_reset_kiss_icp(bench, monkeypatch):
    monkeypatch.setattr(kiss_source, "load_kiss_icp", lambda n: lambda: Library([]))
    node, client, segmenter = bench(start=False, pose_source="kiss_icp")
    node.start()
    connected(client)
    for count in range(1, 4):
        for step in range(2):
            client.send_cloud(START + (10 * count + step) * STEP, hall(step))
        client.until(lambda n=count: len(client.labelled) == 2 * n, "the clouds")
        if count == 1:
            node._reset()
        else:
            node.trigger_deactivate()
            client.until(lambda: not client.clouds.get_subscription_count(), "the end")
            node.trigger_activate()
            connected(client)
    assert [p[0, 3] for p in segmenter.poses] == pytest.approx([0, 1] * 3)


def test_the_library_itself_in_the_node(bench):
    pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")
    node, client, segmenter = bench(start=False, pose_source="kiss_icp", num_threads=1)
    node.start()
    connected(client)
    for step in range(8):
        client.send_cloud(START + step * STEP, hall(step))
    client.until(lambda: len(client.labelled) == 8, "all clouds")
    np.testing.assert_allclose(segmenter.poses[-1][:3, 3], [2.1, 0, 0], atol=0.1)


def test_poses_and_mount_from_tf(bench, monkeypatch):
    listener = tf_stand_in.install(monkeypatch)
    node, client, segmenter = bench(
        start=False, pose_source="tf", base_to_lidar="", fixed_frame="odom", base_frame="base_link"
    )
    node.start()
    connected(client)
    for tf in listener.buffers:
        tf.set_static("base_link", "lidar", pose(0.5))
        for step in range(4):
            tf.set("odom", "base_link", START + step * STEP, pose(step))
    for step in range(3):
        client.send_cloud(START + step * STEP + STEP // 2, make_cloud("kitti")[0])
    client.until(lambda: len(client.labelled) == 3, "all clouds")
    assert [p[0, 3] for p in segmenter.poses] == pytest.approx([1.0, 2.0, 3.0])
    assert segmenter.mount[0, 3] == 0.5
    assert client.odom.get_subscription_count() == 0
    client.until_status(tf__found=3)
    node.stop()
    assert listener.listening == 0


def test_drops_for_want_of_tf_are_counted_by_reason(bench, monkeypatch):
    listener = tf_stand_in.install(monkeypatch)
    node, client, _ = bench(start=False, pose_source="tf", base_to_lidar="", pose_timeout=0.0)
    node.start()
    connected(client)
    client.send_cloud(START, make_cloud("kitti")[0])
    client.until_status(dropped__tf_unknown_frame=1)
    for tf in listener.buffers:
        tf.set_static("base_link", "lidar", pose(0.5))
        tf.set("odom", "base_link", START + SECOND, pose(0))
    client.send_cloud(START + STEP, make_cloud("kitti")[0])
    client.until_status(dropped__tf_extrapolation=1)
    client.send_cloud(START + 2 * SECOND, make_cloud("kitti")[0])
    client.until_status(dropped__tf_timeout=1)


def test_the_real_tf2_gives_poses_mount_and_the_motion_to_deskew_by(bench):
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")
    node, client, segmenter = bench(start=False, pose_source="tf", base_to_lidar="", deskew=True)
    scans, push = [], segmenter.push
    segmenter.push = lambda scan: (scans.append(scan), push(scan))[1]
    node.start()
    connected(client)
    mount = tf2_ros.StaticTransformBroadcaster(client.node)
    way = tf2_ros.TransformBroadcaster(client.node)
    for topic in ("/tf", "/tf_static"):
        client.until(lambda t=topic: client.node.count_subscribers(t) == 2, topic)
    mount.sendTransform(tf_stand_in.transform_message("base_link", "lidar", 0, pose(0.5)))
    seconds = np.linspace(0, 0.04, 50)
    cloud, truth = make_cloud("velodyne", values={"time": seconds})
    for step in range(4):
        transform = tf_stand_in.transform_message(
            "odom", "base_link", START + step * STEP, pose(0.5 * step)
        )
        way.sendTransform(transform)
    for step in range(3):
        client.send_cloud(START + step * STEP + STEP // 2, cloud)
    client.until(lambda: len(client.labelled) == 3, "all clouds")
    assert [scan.pose[0, 3] for scan in scans] == pytest.approx([0.75, 1.25, 1.75])
    assert segmenter.mount[0, 3] == 0.5
    for scan in scans:  # at 5 m/s
        np.testing.assert_allclose(scan.points[:, 0], truth["x"] + 5 * seconds, atol=1e-4)
    client.until_status(tf__found=3, dropped=0)
