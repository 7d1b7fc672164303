"""What the example launch files share: the node with a few arguments, and other nodes beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

_ARGUMENTS = {"cloud": "/points", "odom": "/odom", "base_to_lidar": "", "use_sim_time": "false"}


def sim_time() -> dict[str, Any]:
    """The parameter use_sim_time, as the launch file was told."""
    return {"use_sim_time": LaunchConfiguration("use_sim_time")}


def with_mos_node(share: Path, *others: Any) -> LaunchDescription:
    """A launch description of mos.launch.py and other actions.

    Args:
        share: where the package's launch and config folders are.
        others: actions.
    """
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=f"see mos.launch.py: {name}")
        for name, value in _ARGUMENTS.items()
    ]
    mos = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "mos.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in _ARGUMENTS}.items(),
    )
    return LaunchDescription([*declared, mos, *others])
