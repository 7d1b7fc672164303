"""Livox's CustomMsg over real DDS: the node subscribes to it where its package is installed."""

import importlib
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from cloud_harness import make_cloud
from message_package import build
from node_harness import START, STEP, node_bench, pose
from ros_harness import set_stamp

from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.pointcloud.livox import MESSAGE_DEFINITION, POINT_DEFINITION
from kdmos_ros.ros import cloud_topic
from kdmos_ros.ros.qos import profile

PACKAGE = "livox_ros_driver2"
N = 60


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


@pytest.fixture(scope="module")
def livox(tmp_path_factory):
    """The messages of the driver's package, built as it builds them."""
    root = tmp_path_factory.mktemp("messages")
    definitions = {"CustomPoint": POINT_DEFINITION, "CustomMsg": MESSAGE_DEFINITION}
    sys.path.insert(0, str(build(root, PACKAGE, definitions)))
    yield importlib.import_module(f"{PACKAGE}.msg")
    sys.path.remove(str(root))


@pytest.fixture
def driver():
    """A node in a participant of its own: Fast DDS takes one type for a topic in each."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("driver", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def custom_message(messages, step):
    points = np.random.default_rng(step).uniform(-20, 20, (N, 3)).astype(np.float32)
    message = messages.CustomMsg(timebase=START + step * STEP, point_num=N)
    set_stamp(message.header, START + step * STEP)
    message.header.frame_id = "livox_frame"
    message.points = [
        messages.CustomPoint(offset_time=1_500_000 * k, x=x, y=y, z=z, reflectivity=k, line=k % 4)
        for k, (x, y, z) in enumerate(points.tolist())
    ]
    return message, points


@pytest.mark.slow
def test_custom_messages_are_labelled(bench, livox, driver, capfd, monkeypatch):
    node, client, _ = bench()
    client.node.destroy_publisher(client.clouds)
    monkeypatch.setattr(cloud_topic, "message_class", lambda kind: None)
    clouds = driver.create_publisher(livox.CustomMsg, "/points", profile("reliable", 10))
    lines: list[str] = []

    def said():
        lines.extend(capfd.readouterr().err.splitlines())
        return [line for line in lines if f"the package {PACKAGE} is not installed" in line]

    client.until(said, "the line that the package is missing")
    (line,) = said()
    assert "/points is livox_ros_driver2/msg/CustomMsg" in line and "xfer_format to 0" in line

    monkeypatch.undo()  # as if it were there now
    client.until(lambda: clouds.get_subscription_count() > 0, "the node's subscription")
    sent = []
    for step in range(3):
        message, points = custom_message(livox, step)
        client.send_odometry(START + step * STEP, pose(step))
        clouds.publish(message)
        sent.append((message, points))
    client.until(lambda: len(client.labelled) == len(sent), "all labelled clouds")
    for (message, points), labelled in zip(sent, client.labelled, strict=True):
        assert labelled.header == message.header
        layout = read_layout(labelled)
        found = np.stack([layout.column(layout.find(name)).ravel() for name in "xyz"], axis=1)
        np.testing.assert_array_equal(found, points)
        times = layout.column(layout.find("timestamp")).ravel()
        np.testing.assert_allclose(times - times[0], 1_500_000 * np.arange(N), atol=300)
        assert (layout.column(layout.find("label")).ravel() == np.arange(N) % 4).all()
    client.until_status(received=3, labelled=3, dropped=0)
    assert node.statistics.snapshot().received == 3


@pytest.mark.slow
def test_clouds_go_before_custom_messages_on_one_topic(bench, livox, driver):
    """What is heard already stays."""
    _, client, _ = bench()
    clouds = driver.create_publisher(livox.CustomMsg, "/points", profile("reliable", 10))
    client.until(lambda: client.node.count_publishers("/points") == 2, "both publishers")

    for step in range(2):
        client.send_odometry(START + step * STEP, pose(step))
        client.send_cloud(START + step * STEP, make_cloud(width=20)[0])
    client.until(lambda: len(client.labelled) == 2, "the labelled clouds")
    assert clouds.get_subscription_count() == 0
