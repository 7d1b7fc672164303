"""Two nodes, one process each, in namespaces of their own, share a model file and the clouds."""

import numpy as np
import pytest
from cloud_harness import make_cloud

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import Client, NodeProcess, stamps  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from kdmos_ros.pointcloud.layout import read_layout  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402
from kdmos_ros.ros.qos import profile  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND * 2 // 5
N_SCANS = 5
PARAMETERS = {
    "base_to_lidar": "0 0 1.73", "cloud_reliability": "reliable", "odom_reliability": "reliable",
    "cloud_depth": 100, "queue_size": 100, "pose_timeout": 60.0, "diagnostics_period": 0.2,
    "provider": "cpu", "num_threads": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def ros():
    rclpy.init()
    yield
    try_shutdown()


def labels_of(message):
    layout = read_layout(message)
    probability = layout.column(layout.find("moving_probability")).ravel()
    return layout.column(layout.find("label")).ravel(), probability


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        for values, wanted in zip(labels_of(one), labels_of(other), strict=True):
            np.testing.assert_array_equal(values, wanted)


def test_two_nodes_and_a_looping_bag(tiny_model, tmp_path):
    """Both give the same answers, and the second round of the bag those of the first."""
    remap = {"points": "/points", "odom": "/odom"}
    client = Client("left/mos_node")
    right = []
    client.node.create_subscription(
        PointCloud2, "/right/mos_node/labeled", right.append, profile("reliable", 300)
    )
    nodes = [
        NodeProcess(
            tmp_path / f"{side}.log", {**remap, "__ns": f"/{side}"}, model=tiny_model, **PARAMETERS
        )
        for side in ("left", "right")
    ]
    try:
        with nodes[0], nodes[1]:
            client.until_connected()
            client.until(
                lambda: (
                    client.clouds.get_subscription_count() == 2
                    and client.odom.get_subscription_count() == 2
                    and client.node.count_publishers("/right/mos_node/labeled") == 1
                ),
                "both nodes",
            )
            rng = np.random.default_rng(4)
            for round_ in range(2):
                rng = np.random.default_rng(4)
                for i in range(N_SCANS):
                    values = {axis: rng.uniform(-20, 20, 3000) for axis in "xy"}
                    values |= {"z": rng.uniform(-1.7, 1, 3000)}
                    pose = np.eye(4)
                    pose[0, 3] = 0.3 * i
                    cloud, _ = make_cloud("plain_xyz", 3000, values=values)
                    client.send_odometry(START + i * STEP, pose)
                    client.send_cloud(START + i * STEP, cloud)
                wanted = N_SCANS * (round_ + 1)
                client.until(
                    lambda n=wanted: len(client.labelled) == n and len(right) == n, "all clouds"
                )
            client.until(lambda: client.status.get("name", "").startswith("left"), "left's status")
            client.until(lambda: client.status["name"].startswith("right"), "right's status")
            assert [node.stop() for node in nodes] == [0, 0]
    finally:
        client.close()
    assert stamps(client.labelled) == stamps(right)
    assert any(labels_of(message)[0].any() for message in right)
    assert_same(client.labelled, right)
    assert_same(right[N_SCANS:], right[:N_SCANS])
