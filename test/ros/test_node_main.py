"""How the node's process ends."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from kdmos_ros.ros import node as module


class Publishing(Node):
    """Stands in for MosNode: publishes where the context may be gone."""

    parameters = {"autostart": False}  # noqa: RUF012

    def __init__(self):
        super().__init__("publishing")

    def stop(self):
        """Nothing runs."""


@pytest.fixture
def publishing(monkeypatch):
    monkeypatch.setattr(module, "MosNode", Publishing)
    yield
    rclpy.try_shutdown()


def test_a_signal_while_something_is_published_is_a_clean_end(publishing, monkeypatch):
    from std_msgs.msg import Empty

    def spin(node):
        publisher = node.create_publisher(Empty, "out", 1)
        rclpy.shutdown()  # as the handler of a signal does
        publisher.publish(Empty())

    monkeypatch.setattr(rclpy, "spin", spin)
    assert module.main([]) == 0


def test_other_failures_of_ros_are_not_hidden(publishing, monkeypatch):
    def spin(node):
        raise rclpy_implementation.RCLError("no memory")

    monkeypatch.setattr(rclpy, "spin", spin)
    with pytest.raises(rclpy_implementation.RCLError, match="no memory"):
        module.main([])


def test_wrong_ros_arguments_are_not_hidden(publishing):
    with pytest.raises(rclpy_implementation.RCLError, match=r"ros-args|parameter|rule"):
        module.main(["mos_node", "--ros-args", "-p", "no_value"])
