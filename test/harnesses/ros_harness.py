"""Runs the node for tests, in this process or as its own, and talks to it over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import PointCloud2

from kdmos_ros.geometry.transforms import matrix_to_quaternion
from kdmos_ros.poses.pose_messages import stamp_ns
from kdmos_ros.ros.messages import SECOND_NS, cloud_message
from kdmos_ros.ros.qos import profile

ROOT = Path(__file__).resolve().parents[2]
# Nothing waits this long unless it is broken.
PATIENCE_S = 120.0


class Client:
    """A node that plays robot and operator: publishes clouds and odometry, collects the rest."""

    def __init__(self, node_name: str = "mos_node", others: tuple[Any, ...] = ()) -> None:
        self.node = rclpy.create_node("client")
        self.executor = SingleThreadedExecutor()
        for node in (self.node, *others):
            self.executor.add_node(node)
        self.labelled: list[PointCloud2] = []
        self.moving: list[PointCloud2] = []
        self.static: list[PointCloud2] = []
        self.status: dict[str, str] = {}
        reliable = profile("reliable", 300)
        self.subscriptions = {
            name: self.node.create_subscription(
                PointCloud2, f"/{node_name}/{topic}", getattr(self, name).append, reliable
            )
            for name, topic in (
                ("labelled", "labeled"), ("moving", "moving"), ("static", "static")
            )
        }  # fmt: skip
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, 10)
        self.clouds = self.node.create_publisher(PointCloud2, "/points", reliable)
        self.odom = self.node.create_publisher(Odometry, "/odom", reliable)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()

    def _on_status(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self.status = {item.key: item.value for item in status.values}
        self.status.update(level=status.level, message=status.message, name=status.name)

    def until(self, condition, what: str) -> None:
        """Spin until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self.status}"
            self.executor.spin_once(timeout_sec=0.05)

    def until_connected(self) -> None:
        """Wait until the node hears and is heard."""
        self.until(
            lambda: self.clouds.get_subscription_count() and self.odom.get_subscription_count(),
            "the node's subscriptions",
        )
        topics = [s.topic_name for s in self.subscriptions.values()]
        self.until(
            lambda: all(self.node.count_publishers(topic) for topic in topics),
            "the node's publishers",
        )

    def until_status(self, **expected: Any) -> None:
        """Wait for diagnostics with these values."""
        wanted = {key.replace("__", "."): str(value) for key, value in expected.items()}
        self.until(
            lambda: all(self.status.get(key) == value for key, value in wanted.items()),
            f"diagnostics with {wanted}",
        )

    def send_odometry(self, stamp: int, pose: Any, child: str = "base_link") -> None:
        message = Odometry()
        set_stamp(message.header, stamp)
        message.header.frame_id, message.child_frame_id = "odom", child
        x, y, z = (float(v) for v in pose[:3, 3])
        position, orientation = message.pose.pose.position, message.pose.pose.orientation
        position.x, position.y, position.z = x, y, z
        q = matrix_to_quaternion(pose[:3, :3])
        orientation.x, orientation.y, orientation.z, orientation.w = (float(v) for v in q)
        self.odom.publish(message)

    def send_cloud(self, stamp: int, cloud: Any, frame: str = "lidar") -> PointCloud2:
        """Publish a stand-in of test/clouds.py."""
        message = as_message(stamp, cloud, frame)
        self.clouds.publish(message)
        return message


def as_message(stamp: int, cloud: Any, frame: str = "lidar") -> PointCloud2:
    from std_msgs.msg import Header

    header = Header(frame_id=frame)
    set_stamp(header, stamp)
    return cloud_message(header, cloud)


def set_stamp(header: Any, stamp: int) -> None:
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, SECOND_NS)


def stamps(messages: list[Any]) -> list[int]:
    return [stamp_ns(message.header.stamp) for message in messages]


class NodeProcess:
    """`mos_node` as its own process, as `ros2 run` would start it."""

    def __init__(self, log: Path, remap: dict[str, str] | None = None, **parameters: Any) -> None:
        self.log = log
        arguments = ["--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else value
            arguments += ["-p", f"{name}:={text}"]
        for old, new in (remap or {}).items():
            arguments += ["-r", f"{old}:={new}"]
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "mos_node"), *arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until_logged(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def environment() -> dict[str, str]:
    """This process's environment, with the package found from anywhere."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
