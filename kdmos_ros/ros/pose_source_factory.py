"""Makes the source of poses that the parameters ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdmos_ros.defaults import AUTO, frames_to_try
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.pipeline.odometry_source import OdometrySource
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses import kiss_source
from kdmos_ros.poses.auto_poses import AutoPoses
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_source import PoseSource, StampedCloud
from kdmos_ros.ros.tf_listener import TfListener
from kdmos_ros.ros.tf_source import TfSource
from kdmos_ros.throttled_log import ThrottledLog

_REMEDY = (
    "nor does TF lead to the LiDAR: give the topic (launch argument odom), set fixed_frame to the "
    "frame of your TF, or pip install kiss-icp, which makes poses from the clouds"
)


class PoseSourceFactory:
    """Makes sources of poses.

    Args:
        tf: listens to TF; None where tf2_ros is not installed.
        odometry: what collects the poses of the topic, if that is to be listened to.
    """

    def __init__(
        self,
        tf: TfListener | None,
        parameters: Mapping[str, Any],
        odometry: OdometrySource | None,
        log: ThrottledLog,
    ) -> None:
        self._tf = tf
        self._p = parameters
        self._odometry = odometry
        self._log = log

    def make(self) -> PoseSource:
        """The source that the parameters ask for, with their limits.

        Raises:
            KdmosError: what it needs is not installed.
        """
        source = self._make()
        limit_poses(source, self._p)
        return source

    def _make(self) -> PoseSource:
        kind, odometry = self._p["pose_source"], self._odometry
        if kind == "kiss_icp":
            return self._kiss()
        if kind == "tf" or odometry is None:
            if self._tf is None:
                raise KdmosError(
                    "pose source tf needs tf2_ros, which is not installed here: install ROS 2's "
                    "tf2_ros, or set the parameter pose_source to odometry or kiss_icp"
                )
            return self._from_tf(self._tf, self._p["fixed_frame"])
        if kind == AUTO and not odometry.named_by_user:
            return AutoPoses(
                odometry,
                odometry.topic,
                self._leads,
                self._offer_tf,
                self._offer_kiss,
                _REMEDY,
                self._log,
            )
        return odometry

    def _from_tf(self, tf: TfListener, fixed_frame: str) -> TfSource:
        # With a mount by parameter, TF need not know the LiDAR's frame.
        buffer = PoseBuffer(name="transform")
        base = self._p["base_frame"]
        return TfSource(tf, buffer, base, fixed_frame, self._log, self._knows_lidar)

    def _kiss(self) -> PoseSource:
        make = kiss_source.load_kiss_icp(self._p["num_threads"])
        buffer = PoseBuffer(name="KISS-ICP pose")
        return kiss_source.KissSource(buffer, self._p["base_frame"], make, self._log)

    def _leads(self, base: str, lidar: str) -> bool:
        """Whether poses of `base` tell where the LiDAR was."""
        if not self._knows_lidar or base == lidar or self._tf is None:
            return True
        return bool(base) and self._tf.connects(base, lidar)

    def _offer_tf(self, cloud: StampedCloud) -> tuple[PoseSource, str] | None:
        frame = cloud.frame if self._knows_lidar else self._p["base_frame"]
        for fixed in frames_to_try(self._p["fixed_frame"]):
            if self._tf is not None and self._tf.moves(fixed, frame):
                return self._from_tf(self._tf, fixed), f"TF, {fixed} -> {frame}"
        return None

    def _offer_kiss(self, cloud: StampedCloud) -> tuple[PoseSource, str] | None:
        try:
            return self._kiss(), "the clouds, by KISS-ICP"
        except KdmosError:
            return None

    @property
    def _knows_lidar(self) -> bool:
        return parse_transform(self._p["base_to_lidar"]) is None


def listened_odometry(
    node: Any, parameters: Mapping[str, Any], statistics: Statistics, log: ThrottledLog
) -> OdometrySource | None:
    """What collects the poses of the topic `odom`, if the parameters want it listened to."""
    if parameters["pose_source"] not in (AUTO, "odometry"):
        return None
    topic = node.resolve_topic_name("odom")
    usual = ("/odom", node.resolve_topic_name("odom", only_expand=True))
    base = parameters["base_frame"]
    return OdometrySource(PoseBuffer(), topic, base, statistics, log, topic not in usual)


def limit_poses(source: PoseSource, parameters: Mapping[str, Any]) -> None:
    """Give a source the limits of the parameters, which may change while it is in use."""
    p = parameters
    source.limit(p["pose_history"], p["pose_max_gap"], p["pose_max_jump"] or float("inf"))
