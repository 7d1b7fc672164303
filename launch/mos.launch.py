"""Starts the moving-object segmentation node; `--show-args` explains the arguments."""

import importlib.util
import os
import sys
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
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from kdmos_ros.dds_profile import dds_profile
from kdmos_ros.pointcloud.sensor_files import sensor_file, sensor_names
from kdmos_ros.ros import launch_arguments as check
from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
POLL_S = 0.1

ARGUMENTS = {
    "cloud": ("/points", "PointCloud2 topic of the LiDAR"),
    "odom": ("/odom", "topic of the robot's odometry, for the pose sources odometry and auto"),
    "pose_source": (
        "",
        "auto, odometry (a topic), tf (fixed_frame to the cloud's frame) or kiss_icp (from the "
        "clouds; needs pip install kiss-icp); empty: as in params_file",
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


PARAMETERS = (
    *("autostart", "base_frame", "base_to_lidar", "deskew", "fixed_frame", "lookahead", "model"),
    *("pose_source", "provider"),
)


def start(context):
    """Turn the arguments' values into actions.

    Raises:
        KdmosError: a value cannot be used.
    """
    value = {name: context.launch_configurations[name] for name in ARGUMENTS}
    own = "/".join(["", *filter(None, [value["namespace"].strip("/")]), "mos_node"])
    log = get_logger("mos.launch.py")
    if Path(__file__).name in (Path(word).name for word in sys.argv):  # else they may be others'
        for line in check.unknown(context.argv, ARGUMENTS):
            log.warning(line)
    bag = check.bag(value["bag"]) if value["bag"] else ""
    sim_time = check.truth("use_sim_time", value["use_sim_time"] or str(bool(bag)))
    rviz = check.truth("rviz", value["rviz"])
    log_level = check.log_level(value["log_level"])
    # What is left empty stays as the parameter file has it.
    given = {name: check.parameter(name, value[name]) for name in PARAMETERS if value[name]}
    given = {
        name: ParameterValue(v, value_type=str) if isinstance(v, str) else v
        for name, v in given.items()
    }
    params_file, warning = check.parameter_file(value["params_file"], own)
    if warning:
        log.warning(warning)
    files = [str(params_file)]
    if value["sensor"]:
        files.append(str(sensor_file(value["sensor"])))
    actions = [
        SetEnvironmentVariable(name, profile) for name, profile in dds_profile(os.environ).items()
    ]
    # First: where RViz is not installed, launch fails here, before a node runs that nobody stops.
    if rviz:
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
        ros_arguments=["--log-level", log_level],
        output="screen",
        emulate_tty=True,
    )
    actions.append(node)
    if bag:
        actions += play_when_active(node, bag)
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


def generate_launch_description():
    """Entry point of launch."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
