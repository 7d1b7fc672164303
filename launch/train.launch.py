"""Makes a model: runs `kdmos train`; `--show-args` explains the arguments."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, Shutdown
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]

ARGUMENTS = {
    "recipe": (
        str(SHARE / "config" / "train" / "kdmos_s.yaml"),
        "what to train and on what; YAML, see config/train",
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


def generate_launch_description():
    """Entry point of launch."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    train = ExecuteProcess(
        cmd=[
            command(),
            "train",
            value["recipe"],
            "--data",
            value["data"],
            "--work",
            value["work"],
            "--out",
            value["out"],
            "--stage",
            value["stage"],
        ],
        output="screen",
        # A training that stops by itself is over; what it said is on the screen.
        on_exit=Shutdown(reason="training ended"),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, train])
