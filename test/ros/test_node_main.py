"""How the node's process ends."""

import os
import signal

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from kdmos_ros.ros import process as module


class Publishing(Node):
    """Stands in for MosNode: publishes where the context may be gone."""

    parameters = {"autostart": False}  # noqa: RUF012

    def __init__(self):
        super().__init__("publishing")

    def stop(self):
        """Nothing runs."""


def spins(monkeypatch, spin):
    """Have the executor do something in place of waiting."""
    monkeypatch.setattr(
        SingleThreadedExecutor, "spin_once", lambda executor: spin(executor.get_nodes()[0])
    )


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

    spins(monkeypatch, spin)
    assert module.main([]) == 0


def test_other_failures_of_ros_are_not_hidden(publishing, monkeypatch):
    def spin(node):
        raise rclpy_implementation.RCLError("no memory")

    spins(monkeypatch, spin)
    with pytest.raises(rclpy_implementation.RCLError, match="no memory"):
        module.main([])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "no_value"], "parameter"),
        (["--params-file", "/no/such.yaml"], "/no/such.yaml"),
        (["--params-file", "BROKEN"], "broken.yaml"),
        (["--log-level", "loud"], "loud"),
        (["-r", "points:=two words"], "two words"),
    ],
)
def test_wrong_ros_arguments_are_said_in_one_line(publishing, tmp_path, capsys, arguments, words):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [\n")
    arguments = [str(broken) if word == "BROKEN" else word for word in arguments]
    assert module.main(["mos_node", "--ros-args", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mos_node: error: ") and words in line
    assert ".c:" not in line


def test_interrupts_are_left_to_ros(publishing, monkeypatch):
    """Python's KeyboardInterrupt would come in the middle of ending, at the second Ctrl-C."""
    stopped = []

    def spin(node):
        os.kill(os.getpid(), signal.SIGINT)
        rclpy.shutdown()

    def stop(self):
        os.kill(os.getpid(), signal.SIGINT)
        stopped.append(1)

    spins(monkeypatch, spin)
    monkeypatch.setattr(Publishing, "stop", stop)
    before = signal.getsignal(signal.SIGINT)
    assert module.main([]) == 0
    assert stopped and signal.getsignal(signal.SIGINT) == before


def test_an_interrupt_before_ros_listens_is_kept(publishing, monkeypatch):
    init = rclpy.init

    def interrupted(args):
        os.kill(os.getpid(), signal.SIGINT)
        init(args=args)

    monkeypatch.setattr(rclpy, "init", interrupted)
    spins(monkeypatch, lambda node: pytest.fail("it went on"))
    assert module.main([]) == 0
