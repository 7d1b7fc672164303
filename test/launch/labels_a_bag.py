"""Run by launch_testing (see test_launch.py): mos.launch.py plays a bag into the node."""

import os
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from sensor_msgs.msg import PointCloud2

from launch import LaunchDescription

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "bag": os.environ["KDMOS_TEST_BAG"],
    "model": os.environ["KDMOS_TEST_MODEL"],
    "namespace": "front",
    "provider": "cpu",
    "base_to_lidar": "0.5 0 1.8",
    "params_file": os.environ["KDMOS_TEST_PARAMETERS"],
}


def generate_test_description():
    """Everything under test."""
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "mos.launch.py"))
    included = IncludeLaunchDescription(source, launch_arguments=ARGUMENTS.items())
    return LaunchDescription([included, launch_testing.actions.ReadyToTest()])


class WhileItRuns(unittest.TestCase):
    """What can be seen from outside."""

    def test_the_bag_is_labelled(self):
        rclpy.init()
        node = rclpy.create_node("observer")
        clouds, states = [], []
        node.create_subscription(PointCloud2, "/front/mos_node/labeled", clouds.append, 50)
        node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: states.extend(m.status), 10
        )
        try:
            end = node.get_clock().now().nanoseconds + 90e9
            while not (clouds and states) and node.get_clock().now().nanoseconds < end:
                rclpy.spin_once(node, timeout_sec=0.2)
            self.assertTrue(clouds, "no labelled cloud")
            self.assertIn("label", [field.name for field in clouds[0].fields])
            self.assertTrue(states[0].name.startswith("front/mos_node"))
        finally:
            node.destroy_node()
            rclpy.try_shutdown()


@launch_testing.post_shutdown_test()
class Afterwards(unittest.TestCase):
    """How it ended."""

    def test_the_node_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(
            proc_info, process="mos_node", allowable_exit_codes=[0]
        )
