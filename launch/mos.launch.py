"""Starts the moving-object segmentation node; `--show-args` explains the arguments."""

import importlib.util
import os
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from kdmos_ros.pointcloud.sensor_files import sensor_file, sensor_names
from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
POLL_S = 0.1
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "cloud": ("/points", "PointCloud2 topic of the LiDAR"),
    "odom": ("/odom", "Odometry topic of the robot, for the pose source odometry"),
    "pose_source": (
        "",
        "odometry (a topic), tf (fixed_frame to the cloud's frame) or kiss_icp (from the clouds; "
        "needs pip install kiss-icp); empty: as in params_file",
    ),
    "fixed_frame": ("", "frame with continuous odometry, for tf; empty: as in params_file"),
    "base_frame": (
        "",
        "frame on the ground below the LiDAR, for tf and kiss_icp; empty: as in params_file",
    ),
    "base_to_lidar": (
        "",
        "mount of the LiDAR on the base frame, 'x y z roll pitch yaw' or "
        "'x y z qx qy qz qw'; empty: from TF",
    ),
    "model": ("", "name of a shipped model or folder of another; empty: as in params_file"),
    "provider": ("", "auto, cpu, cuda, tensorrt or openvino; empty: as in params_file"),
    "lookahead": (
        "",
        "0 to 7 later clouds that each cloud waits for, if the model can use them; empty: as in "
        "params_file",
    ),
    "sensor": (
        "",
        f"{', '.join(sensor_names())} or a .yaml file of your own: parameters for this kind of "
        "LiDAR, in place of those of params_file",
    ),
    "deskew": (
        "",
        "auto, true or false: deskew by the time of each point; empty: as in params_file",
    ),
    "params_file": (str(SHARE / "config" / "mos.yaml"), "parameters of the node"),
    "namespace": ("", "namespace of the node"),
    "use_sim_time": ("", "true takes the time from /clock; empty: true if a bag is played"),
    "autostart": ("", "false leaves configuring and activating to a manager; empty: as there"),
    "bag": ("", "rosbag2 to play, with /clock, as soon as the node is active"),
    "rviz": ("false", "true opens RViz with config/mos.rviz"),
    "rviz_frame": (
        "",
        "fixed frame of RViz, as the LiDAR's where no TF leads from odom to it; empty: fixed_frame "
        "if that is given, else odom",
    ),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def start(context):
    """Turn the arguments' values into actions."""
    value = {name: context.launch_configurations[name] for name in ARGUMENTS}
    sim_time = is_true(value["use_sim_time"] or str(bool(value["bag"])))
    # What is left empty stays as the parameter file has it.
    given = {
        name: ParameterValue(value[name], value_type=str)
        for name in (
            "model",
            "provider",
            "base_to_lidar",
            "pose_source",
            "fixed_frame",
            "base_frame",
        )
        if value[name]
    }
    actions = [
        SetEnvironmentVariable(name, str(SHARE / "config" / "fastdds_profile.xml"))
        for name in PROFILE_VARIABLES
        if name not in os.environ
    ]
    if value["autostart"]:
        given["autostart"] = is_true(value["autostart"])
    if value["lookahead"]:
        if not value["lookahead"].isdecimal():
            raise RuntimeError(f"lookahead must be 0 to 7, got '{value['lookahead']}'")
        given["lookahead"] = int(value["lookahead"])
    if value["deskew"]:
        given["deskew"] = ParameterValue(value["deskew"], value_type=str)
    files = [value["params_file"]]
    if value["sensor"]:
        files.append(str(sensor_file(value["sensor"])))
    # First: where RViz is not installed, launch fails here, before a node runs that nobody stops.
    if is_true(value["rviz"]):
        own = "/".join(["", *filter(None, [value["namespace"].strip("/")]), "mos_node"])
        outputs = ("labeled", "moving", "static", "objects")
        frame = value["rviz_frame"] or value["fixed_frame"]
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=[
                    *("-d", str(SHARE / "config" / "mos.rviz")),
                    *(("-f", frame) if frame else ()),
                ],
                parameters=[{"use_sim_time": sim_time}],
                remappings=[
                    ("/points", value["cloud"]),
                    ("/odom", value["odom"]),
                    *((f"/mos_node/{name}", f"{own}/{name}") for name in outputs),
                ],
            )
        )
    node = LifecycleNode(
        package="kdmos_ros",
        executable="mos_node",
        name="mos_node",
        namespace=value["namespace"],
        parameters=[*files, {"use_sim_time": sim_time, **given}],
        remappings=[("points", value["cloud"]), ("odom", value["odom"])],
        ros_arguments=["--log-level", value["log_level"]],
        output="screen",
        emulate_tty=True,
    )
    actions.append(node)
    if value["bag"]:
        actions += play_when_active(node, value["bag"])
    return actions


def play_when_active(node, bag):
    """Event handlers that start the player once the node is active, whoever activates it."""
    player = ExecuteProcess(cmd=[*play_command(), bag, "--clock"], output="screen")
    wait = WaitUntilActive(node, [player])
    return [
        RegisterEventHandler(
            OnProcessStart(target_action=node, on_start=[OpaqueFunction(function=wait)])
        ),
        RegisterEventHandler(OnProcessExit(target_action=node, on_exit=wait.give_up)),
    ]


class WaitUntilActive:
    """Asks a lifecycle node for its state until it is active, then runs actions.

    Its transition events alone would not do: one that is published before launch and the node have
    discovered each other is lost, and there is no second one.

    Args:
        node: LifecycleNode action.
        actions: to run then.
    """

    def __init__(self, node, actions):
        self._node = node
        self._actions = actions
        self._client = self._answer = None
        self._ended = False

    def __call__(self, context):
        """The actions if the node is active, else a timer that calls this again."""
        if self._ended or context.is_shutdown:
            return None
        if self._client is None:
            name = f"{self._node.node_name}/get_state"
            self._client = get_ros_node(context).create_client(GetState, name)
        if self._answer is not None and self._answer.done():
            if self._answer.result().current_state.id == State.PRIMARY_STATE_ACTIVE:
                return self._actions
            self._answer = None
        if self._answer is None and self._client.service_is_ready():
            self._answer = self._client.call_async(GetState.Request())
        return [TimerAction(period=POLL_S, actions=[OpaqueFunction(function=self)])]

    def give_up(self, *_):
        """Stop asking: the node has ended."""
        self._ended = True


def play_command():
    """What plays a bag: rosbag2 where it is installed, else this package's own player."""
    if importlib.util.find_spec("ros2bag"):
        return ["ros2", "bag", "play"]
    # pip and colcon put the command beside the share folder that this file is installed in.
    own = SHARE.parents[1] / "bin" / "kdmos"
    return [str(own) if own.is_file() else "kdmos", "play"]


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
