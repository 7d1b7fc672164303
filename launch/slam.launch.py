"""Example: the node, and a LiDAR odometry that registers only what stands still.

ros2 launch kdmos_ros slam.launch.py cloud:=/velodyne_points odom:=/odom

Needs the package kiss_icp (its ROS 2 node). It takes /mos_node/static and publishes
/kiss/odometry. Any other LiDAR SLAM is fed in the same way: give it /mos_node/static as its cloud.
The wheel odometry that the node takes its poses from (odom:=) must not be the SLAM's own.
"""

from pathlib import Path

from launch_ros.actions import Node

from kdmos_ros.ros.launch_examples import sim_time, with_mos_node

SHARE = Path(__file__).resolve().parents[1]
FRAMES = {"base_frame": "base_link", "lidar_odom_frame": "odom_lidar", "publish_odom_tf": False}


def generate_launch_description():
    """Called by `ros2 launch`."""
    return with_mos_node(
        SHARE,
        Node(
            package="kiss_icp",
            executable="kiss_icp_node",
            name="kiss_icp_node",
            remappings=[("pointcloud_topic", "/mos_node/static")],
            parameters=[FRAMES, sim_time()],
            output="screen",
        ),
    )
