"""Clouds that DDS loses are counted by the node: large ones, without our Fast DDS profile."""

import subprocess
import sys

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import NodeProcess, environment  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]

DRIVER = """
import array, time
import rclpy
from sensor_msgs.msg import PointCloud2
from kdmos_ros.ros.qos import profile
rclpy.init()
node = rclpy.create_node("driver")
publisher = node.create_publisher(PointCloud2, "/points", profile("best_effort", 5))
message = PointCloud2(data=array.array("B", bytes(4_000_000)))
while True:
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(0.1)
"""


@pytest.mark.skipif(
    "fastrtps" not in rclpy.get_rmw_implementation_identifier(), reason="this is of Fast DDS"
)
def test_large_clouds_without_the_profile(tiny_model, tmp_path, monkeypatch):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "")  # a choice too: the node leaves it
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], env=environment())
    try:
        with NodeProcess(tmp_path / "node.log", model=str(tiny_model), provider="cpu") as node:
            node.until_logged("clouds of /points were lost on the way: Fast DDS loses large")
            assert node.stop() == 0
    finally:
        driver.kill()
        driver.wait()
