"""Example: the node, with Nav2's costmap from what stands still and its monitor for what moves.

ros2 launch kdmos_ros nav2.launch.py cloud:=/velodyne_points odom:=/odom

The costmap (config/nav2.yaml) holds no trail of people who walked by, since it takes
/mos_node/static. The collision monitor stops the robot for what moves nearby: it takes
/mos_node/moving, and cmd_vel_raw -> cmd_vel. Needs the packages nav2_costmap_2d,
nav2_collision_monitor and nav2_lifecycle_manager.
"""

from pathlib import Path

from launch_ros.actions import Node

from kdmos_ros.ros.launch_examples import sim_time, with_mos_node

SHARE = Path(__file__).resolve().parents[1]
PARAMETERS = str(SHARE / "config" / "nav2.yaml")
MANAGED = ["costmap/costmap", "collision_monitor"]


def generate_launch_description():
    """Called by `ros2 launch`."""
    return with_mos_node(
        SHARE,
        Node(
            package="nav2_costmap_2d",
            executable="nav2_costmap_2d",
            parameters=[PARAMETERS, sim_time()],
            output="screen",
        ),
        Node(
            package="nav2_collision_monitor",
            executable="collision_monitor",
            name="collision_monitor",
            parameters=[PARAMETERS, sim_time()],
            output="screen",
        ),
        Node(
            package="nav2_lifecycle_manager",
            executable="lifecycle_manager",
            name="lifecycle_manager_mos",
            parameters=[{"autostart": True, "node_names": MANAGED}, sim_time()],
            output="screen",
        ),
    )
