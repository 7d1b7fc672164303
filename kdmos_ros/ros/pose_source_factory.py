"""Makes the source of poses that the parameters ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses import kiss_source
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_source import PoseSource
from kdmos_ros.ros import tf_source
from kdmos_ros.ros.odometry_source import OdometrySource
from kdmos_ros.ros.tf_listener import TfListener
from kdmos_ros.throttled_log import ThrottledLog


def make_pose_source(
    tf: TfListener | None,
    parameters: Mapping[str, Any],
    statistics: Statistics,
    log: ThrottledLog,
) -> PoseSource:
    """A source of poses.

    Args:
        tf: listens to TF; None where tf2_ros is not installed.

    Raises:
        KdmosError: what it needs is not installed.
    """
    source = _make(tf, parameters, statistics, log)
    limit_poses(source, parameters)
    return source


def limit_poses(source: PoseSource, parameters: Mapping[str, Any]) -> None:
    """Give a source the limits of the parameters, which may change while it is in use."""
    p = parameters
    source.limit(p["pose_history"], p["pose_max_gap"], p["pose_max_jump"] or float("inf"))


def _make(
    tf: TfListener | None, p: Mapping[str, Any], statistics: Statistics, log: ThrottledLog
) -> PoseSource:
    kind = p["pose_source"]
    if kind == "tf":
        if tf is None:
            raise KdmosError(
                "pose source tf needs tf2_ros, which is not installed here: install ROS 2's "
                "tf2_ros, or set the parameter pose_source to odometry or kiss_icp"
            )
        # With a mount by parameter, TF need not know the LiDAR's frame.
        knows_lidar = parse_transform(p["base_to_lidar"]) is None
        buffer = PoseBuffer(name="transform")
        return tf_source.TfSource(tf, buffer, p["base_frame"], p["fixed_frame"], log, knows_lidar)
    if kind == "kiss_icp":
        make = kiss_source.load_kiss_icp(p["num_threads"])
        return kiss_source.KissSource(PoseBuffer(name="KISS-ICP pose"), p["base_frame"], make, log)
    return OdometrySource(PoseBuffer(), statistics, log)
