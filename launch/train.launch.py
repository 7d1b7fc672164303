"""Makes a model: runs `kdmos train`; `--show-args` explains the arguments."""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration

from kdmos_ros.ros import launch_arguments as check
from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]

ARGUMENTS = {
    "recipe": (
        "kdmos_s",
        "what to train and on what: name of a shipped recipe, or a YAML file as in config/train",
    ),
    "data": (
        "",
        "learn from this data set, folder or bag instead of what the recipe names",
    ),
    "work": (
        "kdmos_work",
        "folder for drives, checkpoints and log; a run continues where it stopped",
    ),
    "out": ("kdmos_model", "folder of the model to write"),
    "stage": ("all", "all, simulate, teacher, logits, student or export"),
}


def command():
    """The `kdmos` of this installation: pip and colcon put it beside the share folder."""
    own = SHARE.parents[1] / "bin" / "kdmos"
    return str(own) if own.is_file() else "kdmos"


def warn(context):
    """Name the arguments that there are not."""
    if Path(__file__).name in (Path(word).name for word in sys.argv):  # else they may be others'
        for line in check.unknown(context.argv, ARGUMENTS):
            get_logger("train.launch.py").warning(line)


def ended(event, context):
    """A training that stops by itself is over; a failure is one of `ros2 launch` too."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"kdmos train failed, exit status {event.returncode}: see above")
    return Shutdown(reason="training ended")


def generate_launch_description():
    """Entry point of launch."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    options = [
        word for name in ("data", "work", "out", "stage") for word in (f"--{name}", value[name])
    ]
    train = ExecuteProcess(
        cmd=[command(), "train", value["recipe"], *options],
        output="screen",
        additional_env={"PYTHONUNBUFFERED": "1"},  # else a pipe holds its progress back
        on_exit=ended,
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=warn), train])
