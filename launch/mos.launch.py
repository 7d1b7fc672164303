"""Starts the moving-object segmentation node; `--show-args` explains the arguments."""

import os
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "cloud": ("/points", "PointCloud2 topic of the LiDAR"),
    "odom": ("/odom", "Odometry topic of the robot"),
    "base_to_lidar": (
        "",
        "mount of the LiDAR on the odometry's child frame, 'x y z roll pitch yaw' or "
        "'x y z qx qy qz qw'; empty: from TF",
    ),
    "model": ("", "name of a shipped model or folder of another; empty: as in params_file"),
    "provider": ("", "auto, cpu, cuda, tensorrt or openvino; empty: as in params_file"),
    "params_file": (str(SHARE / "config" / "mos.yaml"), "parameters of the node"),
    "namespace": ("", "namespace of the node"),
    "use_sim_time": ("", "true takes the time from /clock; empty: true if a bag is played"),
    "bag": ("", "rosbag2 to play with `ros2 bag play --clock`"),
    "rviz": ("false", "true opens RViz"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def start(context):
    """Turn the arguments' values into actions."""
    value = {name: context.launch_configurations[name] for name in ARGUMENTS}
    sim_time = is_true(value["use_sim_time"] or str(bool(value["bag"])))
    # What is left empty stays as the parameter file has it.
    given = {
        name: ParameterValue(value[name], value_type=str)
        for name in ("model", "provider", "base_to_lidar")
        if value[name]
    }
    actions = [
        SetEnvironmentVariable(name, str(SHARE / "config" / "fastdds_profile.xml"))
        for name in PROFILE_VARIABLES
        if name not in os.environ
    ]
    actions.append(
        Node(
            package="kdmos_ros",
            executable="mos_node",
            name="mos_node",
            namespace=value["namespace"],
            parameters=[value["params_file"], {"use_sim_time": sim_time, **given}],
            remappings=[("points", value["cloud"]), ("odom", value["odom"])],
            ros_arguments=["--log-level", value["log_level"]],
            output="screen",
            emulate_tty=True,
        )
    )
    if value["bag"]:
        actions.append(
            ExecuteProcess(cmd=["ros2", "bag", "play", value["bag"], "--clock"], output="screen")
        )
    if is_true(value["rviz"]):
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-f", "odom"],
                parameters=[{"use_sim_time": sim_time}],
            )
        )
    return actions


def is_true(text):
    """Read a launch argument as yes or no."""
    return text.strip().lower() in ("true", "1", "yes")


def generate_launch_description():
    """Entry point of launch."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
