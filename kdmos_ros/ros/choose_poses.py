"""Makes the source of poses that the parameters ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdmos_ros.mount import parse_transform
from kdmos_ros.poses import PoseBuffer
from kdmos_ros.ros import kiss_source, tf_source
from kdmos_ros.ros.odometry import OdometrySource
from kdmos_ros.ros.pose_source import PoseSource
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.throttle import ThrottledLog

POSE_SOURCES = ("odometry", "tf", "kiss_icp")


def make_pose_source(
    node: Any, parameters: Mapping[str, Any], statistics: Statistics, log: ThrottledLog
) -> PoseSource:
    """A source of poses.

    Raises:
        KdmosError: what it needs is not installed.
    """
    p = parameters
    kind = p["pose_source"]
    jump = p["pose_max_jump"] or float("inf")
    if kind == "tf":
        # With a mount by parameter, TF need not know the LiDAR's frame.
        knows_lidar = parse_transform(p["base_to_lidar"]) is None
        buffer = PoseBuffer(p["pose_history"], tf_source.MAX_PAUSE_S, jump, name="transform")
        return tf_source.TfSource(node, buffer, p["base_frame"], p["fixed_frame"], log, knows_lidar)
    if kind == "kiss_icp":
        buffer = PoseBuffer(p["pose_history"], kiss_source.MAX_PAUSE_S, jump, name="KISS-ICP pose")
        make = kiss_source.load_kiss_icp(p["num_threads"])
        return kiss_source.KissSource(buffer, p["base_frame"], make, log)
    return OdometrySource(PoseBuffer(p["pose_history"], p["pose_max_gap"], jump), statistics, log)
