"""What the node publishes, in this process over real DDS, with a stand-in for the network."""

import numpy as np
import pytest
from cloud_harness import make_cloud

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import SECOND, START, STEP, node_bench, pose
from rclpy.parameter import Parameter
from ros_harness import stamps
from rosgraph_msgs.msg import Clock
from visualization_msgs.msg import Marker, MarkerArray

from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.poses.pose_messages import stamp_ns
from kdmos_ros.ros import outputs
from kdmos_ros.ros.qos import profile
from kdmos_ros.segmentation.segmenter import Segmentation


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def test_labelled_moving_and_static_clouds(bench):
    _, client, segmenter = bench()
    clouds = []
    for i, layout in enumerate(("kitti", "velodyne", "ouster_organised", "livox")):
        stamp = START + i * STEP
        client.send_odometry(stamp, pose(i))
        clouds.append(client.send_cloud(stamp, make_cloud(layout, seed=i)[0], "/lidar"))
    client.until(lambda: len(client.static) == len(clouds), "all static clouds")
    client.until(lambda: len(client.labelled) == len(clouds), "all labelled clouds")
    client.until(lambda: len(client.moving) == len(clouds), "all moving clouds")

    for cloud, labelled, moving, static in zip(
        clouds, client.labelled, client.moving, client.static, strict=True
    ):
        for out in (labelled, moving, static):
            assert out.header == cloud.header
        assert labelled.fields[: len(cloud.fields)] == cloud.fields
        source, target = read_layout(cloud), read_layout(labelled)
        n = source.size
        assert target.leading_bytes(source.point_step).tobytes() == source.records().tobytes()
        expected = (np.arange(n) % 4).astype(np.uint8)
        np.testing.assert_array_equal(target.column(target.find("label")).ravel(), expected)
        found = target.column(target.find("moving_probability")).ravel()
        np.testing.assert_array_equal(found, np.linspace(0, 1, n, dtype=np.float32))
        records = source.records().reshape(-1)
        assert moving.fields == static.fields == cloud.fields
        assert bytes(moving.data) == records[expected == 3].tobytes()
        assert bytes(static.data) == records[(expected == 1) | (expected == 2)].tobytes()
    np.testing.assert_allclose(segmenter.poses[2][:3, 3], [2, 0, 1.73])
    client.until_status(received=4, labelled=4, dropped=0, model="fake", state="active")


def test_pose_is_waited_for_and_interpolated(bench):
    _, client, segmenter = bench()
    client.send_odometry(START, pose(0))
    client.send_cloud(START + STEP // 4, make_cloud()[0])
    client.until_status(received=1)
    assert client.labelled == []
    client.send_odometry(START + STEP, pose(4))
    client.until(lambda: client.labelled, "the labelled cloud")
    np.testing.assert_allclose(segmenter.poses[0][:3, 3], [1, 0, 1.73])


def test_deskewing_is_switched_at_run_time_and_leaves_the_output_as_it_came(bench):
    node, client, _ = bench(deskew=True)
    client.send_odometry(START - STEP, pose(-4))
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud("kitti")[0])  # has no times
    client.until_status(dropped__no_point_time=1, labelled=0)
    assert "time_field" in client.status["last_error"]
    times = np.linspace(0, 0.05, 50)
    sent = client.send_cloud(START, make_cloud("velodyne", values={"time": times})[0])
    client.until(lambda: client.labelled, "the deskewed cloud")
    client.until_status(deskew="on", event__pose_extrapolated=1)
    source, target = read_layout(sent), read_layout(client.labelled[0])
    assert target.leading_bytes(source.point_step).tobytes() == source.records().tobytes()
    assert node.set_parameters([Parameter("deskew", value=False)])[0].successful
    client.send_odometry(START + STEP, pose(4))
    client.send_cloud(START + STEP, make_cloud("kitti")[0])
    client.until_status(labelled=2, dropped=1, deskew="off: the parameter deskew is false")
    assert node.set_parameters([Parameter("deskew", value="auto")])[0].successful
    client.send_odometry(START + 2 * STEP, pose(8))
    client.send_cloud(START + 2 * STEP, make_cloud("kitti")[0])
    client.until_status(labelled=3, dropped=1)
    assert client.status["deskew"].startswith("off: no time of each point")


def test_without_odometry_nothing_is_labelled(bench):
    _, client, segmenter = bench(pose_timeout=0.01)
    client.send_cloud(START, make_cloud()[0])
    client.until_status(dropped__pose_timeout=1, labelled=0)
    assert segmenter.poses == []
    assert "no odometry" in client.status["last_error"]


def test_bad_odometry_is_ignored_and_counted(bench):
    _, client, _ = bench()
    client.send_odometry(START, np.full((4, 4), np.nan))
    client.until_status(event__bad_odometry=1)
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")


def test_nothing_is_computed_for_nobody(bench, monkeypatch):
    _, client, _ = bench()
    made = []
    for name in ("append_label", "subset"):
        function = getattr(outputs, name)
        monkeypatch.setattr(
            outputs, name, lambda *a, f=function, n=name: (made.append(n), f(*a))[1]
        )
    client.node.destroy_subscription(client.subscriptions["moving"])
    client.node.destroy_subscription(client.subscriptions["static"])
    client.until(
        lambda: (
            client.node.count_subscribers("/mos_node/static") == 0
            and client.node.count_subscribers("/mos_node/moving") == 0
        ),
        "the subscriptions to be gone",
    )
    client.send_odometry(START, pose(0))
    client.send_cloud(START, make_cloud()[0])
    client.until(lambda: client.labelled, "the labelled cloud")
    client.until_status(labelled=1)
    assert made == ["append_label"]


def test_moving_objects_are_shown_with_their_speed(bench):
    _, client, segmenter = bench(base_to_lidar="0.5 0 1.7 0 0 1.5708")
    everything = lambda scan: Segmentation(  # noqa: E731
        np.full(len(scan.points), 3, np.uint8), np.ones(len(scan.points), np.float32),
        scan.stamp_ns, {},
    )  # fmt: skip
    segmenter.push = everything
    arrays = []
    client.node.create_subscription(MarkerArray, "/mos_node/objects", arrays.append, 10)
    client.until(lambda: client.node.count_subscribers("/mos_node/objects"), "the subscription")
    rng = np.random.default_rng(0)
    box = rng.uniform(-1, 1, (200, 3)) * [0.9, 2.0, 0.7]

    def label(i):
        # The robot drives at 5 m/s along odom's x, the car at 9 m/s ahead of it: in the frame of
        # the LiDAR, turned by 90 degrees, it moves along -y.
        points = box + np.array([0, -10 - 0.4 * i, 0])
        values = {axis: points[:, k] for k, axis in enumerate("xyz")}
        client.send_odometry(START + i * STEP, pose(0.5 * i))
        client.send_cloud(START + i * STEP, make_cloud("plain_xyz", 200, values=values)[0])
        client.until(lambda: len(client.labelled) == i + 1, "the labelled cloud")

    i = 0
    while len(arrays) < 10:  # those before the subscription is known are not sent
        label(i)
        i += 1
    markers = {marker.ns: marker for marker in arrays[-1].markers}
    assert arrays[-1].markers[0].action == Marker.DELETEALL
    assert set(markers) == {"", "box", "velocity", "speed"}
    (newest,) = {stamp_ns(m.header.stamp) for m in arrays[-1].markers}
    age = (newest - START) // STEP
    box_marker, arrow = markers["box"], markers["velocity"]
    assert box_marker.header.frame_id == "lidar"
    place = box_marker.pose.position
    np.testing.assert_allclose([place.x, place.y], [0, -10 - 0.4 * age], atol=0.1)
    # Length along the heading, then width, then height.
    scale = box_marker.scale
    np.testing.assert_allclose([scale.x, scale.y, scale.z], [4, 1.8, 1.4], atol=0.2)
    ends = np.array([[p.x, p.y, p.z] for p in arrow.points])
    np.testing.assert_allclose(ends[1] - ends[0], [0, -9, 0], atol=0.6)
    assert abs(float(markers["speed"].text.split()[0]) - 9) < 0.6


def test_looping_bag_starts_afresh(bench):
    _, client, segmenter = bench()
    before = segmenter.resets
    for _ in range(2):
        for i in range(30):
            client.send_odometry(START + i * STEP, pose(i))
            client.send_cloud(START + i * STEP, make_cloud()[0])
        expected = len(client.labelled) + 30
        client.until(lambda n=expected: len(client.labelled) == n, "a whole round")
    assert segmenter.resets == before + 1
    assert stamps(client.labelled) == [START + i * STEP for i in range(30)] * 2


def test_simulated_time_that_jumps_back_clears_the_history(bench):
    node, client, segmenter = bench(use_sim_time=True)
    clock = client.node.create_publisher(Clock, "/clock", profile("reliable", 10))
    client.until(clock.get_subscription_count, "the clock's subscription")
    before = segmenter.resets
    for i, (second, resets) in enumerate([(100, before), (101, before), (50, before + 1)]):
        message = Clock()
        message.clock.sec = second
        clock.publish(message)
        now = second * SECOND
        client.until(lambda t=now: node.get_clock().now().nanoseconds == t, "the time")
        stamp = START + i * STEP  # goes on, so that only the clock can be the reason
        client.send_odometry(stamp, pose(0))
        client.send_cloud(stamp, make_cloud()[0])
        client.until(lambda t=stamp: t in stamps(client.labelled), "the labelled cloud")
        assert segmenter.resets == resets
