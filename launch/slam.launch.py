"""Example: the node, and a LiDAR odometry that registers only what stands still.

ros2 launch kdmos_ros slam.launch.py cloud:=/velodyne_points odom:=/odom

Needs the package kiss_icp (its ROS 2 node). It takes /mos_node/static and publishes
/kiss/odometry. Any other LiDAR SLAM is fed in the same way: give it /mos_node/static as its cloud.
The wheel odometry that the node takes its poses from (odom:=) must not be the SLAM's own.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]


def generate_launch_description():
    """Called by `ros2 launch`."""
    names = {"cloud": "/points", "odom": "/odom", "base_to_lidar": "", "use_sim_time": "false"}
    mos = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "mos.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in names}.items(),
    )
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(n, default_value=v, description=f"see mos.launch.py: {n}")
              for n, v in names.items()),
            mos,
            Node(
                package="kiss_icp",
                executable="kiss_icp_node",
                name="kiss_icp_node",
                remappings=[("pointcloud_topic", "/mos_node/static")],
                parameters=[
                    {
                        "base_frame": "base_link",
                        "lidar_odom_frame": "odom_lidar",
                        "publish_odom_tf": False,
                        "use_sim_time": LaunchConfiguration("use_sim_time"),
                    }
                ],
                output="screen",
            ),
        ]
    )  # fmt: skip
