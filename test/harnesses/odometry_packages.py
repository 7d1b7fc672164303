"""Drives as the usual odometry packages record them: their topics, frames, rates and stamps.

Facts are from the packages' sources, ROS 2 branches, with their default parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from drive_harness import START_NS

from kdmos_ros.geometry.transforms import from_pose, invert, make_transform, matrix_to_quaternion
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, TF, typestore
from kdmos_ros.io.bag_messages import cloud_message, header, odometry_message, transform_message
from kdmos_ros.poses.pose_messages import PATH

POSE = "geometry_msgs/msg/PoseStamped"
SWEEP_NS = 100_000_000
Topics = dict[str, tuple[str, list[tuple[int, Any]]]]


@dataclass
class Drive:
    """A drive to be recorded.

    Attributes:
        clouds: PointCloud2 messages, stamped when their sweeps begin.
        stamps: of them, ns.
        base: the pose (4, 4) of `base_link` on the ground at a time.
        mount: (4, 4) of the LiDAR on it.
    """

    clouds: Sequence[Any]
    stamps: Sequence[int]
    base: Callable[[int], np.ndarray]
    mount: np.ndarray

    def lidar(self, stamp_ns: int) -> np.ndarray:
        """Pose (4, 4) of the LiDAR in a frame that begins where the first cloud was taken."""
        first = self.base(self.stamps[0]) @ self.mount
        return invert(first) @ self.base(stamp_ns) @ self.mount

    def at(self, hz: float) -> list[int]:
        """Stamps (ns) at a rate, which are those of no cloud, from before to after the drive."""
        step = round(1e9 / hz)
        first = self.stamps[0] - step // 3
        return list(range(first, self.stamps[-1] + SWEEP_NS + step, step))

    def ends(self) -> list[int]:
        """Stamps (ns) of the sweeps' ends, as a double in seconds keeps them."""
        return [round(float((s + SWEEP_NS) * 1e-9) * 1e9) for s in self.stamps]

    def points(self, frame: str, stamps: Sequence[int] | None = None) -> list[tuple[int, Any]]:
        """Rows of the clouds' topic, in a frame."""
        rows = []
        for own, wanted, cloud in zip(self.stamps, stamps or self.stamps, self.clouds, strict=True):
            moved = copy.copy(cloud)
            moved.header = header(wanted, frame)
            rows.append((own, moved))
        return rows

    def static(self, lidar: str) -> Topics:
        """The mount on /tf_static, as robot_state_publisher sends it."""
        link = transform_message(0, "base_link", lidar, self.mount)
        return {"/tf_static": (TF, [(self.stamps[0], link)])}


def small_drive(n: int = 6) -> Drive:
    """A turn at 10 m/s over flat ground, with a LiDAR 1.8 m above it."""
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-15, 15, (3000, 2)), np.full(3000, -1.8)])
    columns = [(name, ground[:, k].astype(np.float32)) for k, name in enumerate("xyz")]
    stamps = [START_NS + i * SWEEP_NS for i in range(n)]

    def base(stamp_ns: int) -> np.ndarray:
        seconds = (stamp_ns - START_NS) * 1e-9
        half = 0.25 * seconds
        return from_pose([10 * seconds, 0, 0], [0, 0, np.sin(half), np.cos(half)])

    mount = make_transform(np.eye(3), [0.5, 0.0, 1.8])
    clouds = [cloud_message(stamp, "velodyne", columns) for stamp in stamps]
    return Drive(clouds, stamps, base, mount)


def odometry(stamps: Sequence[int], frames: tuple[str, str], pose: Any) -> tuple[str, list[Any]]:
    """Rows of an Odometry topic."""
    return ODOMETRY, [(s, odometry_message(s, *frames, pose(s))) for s in stamps]


def moving(*links: tuple[Sequence[int], tuple[str, str], Any]) -> Topics:
    """/tf of (stamps, (parent, child), pose)."""
    rows = [
        (s, transform_message(s, *frames, pose(s))) for times, frames, pose in links for s in times
    ]
    return {"/tf": (TF, rows)}


def pose_stamped(stamp_ns: int, frame: str, pose: np.ndarray) -> Any:
    """geometry_msgs/PoseStamped."""
    types = typestore().types
    position = types["geometry_msgs/msg/Point"](*map(float, pose[:3, 3]))
    orientation = types["geometry_msgs/msg/Quaternion"](
        *map(float, matrix_to_quaternion(pose[:3, :3]))
    )
    placed = types["geometry_msgs/msg/Pose"](position, orientation)
    return types[POSE](header(stamp_ns, frame), placed)


def path(stamps: Sequence[int], frame: str, pose: Any) -> tuple[str, list[Any]]:
    """Rows of a Path topic that grows with each pose."""
    poses = [pose_stamped(s, frame, pose(s)) for s in stamps]
    made = typestore().types[PATH]
    return PATH, [(s, made(header(s, frame), poses[: i + 1])) for i, s in enumerate(stamps)]


def kiss_icp(drive: Drive) -> Topics:
    frames = "odom_lidar", "velodyne"
    return {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/kiss/odometry": odometry(drive.stamps, frames, drive.lidar),
        # invert_odom_tf is true by default.
        **moving((drive.stamps, frames[::-1], lambda s: invert(drive.lidar(s)))),
    }


def kiss_icp_tf_alone(drive: Drive) -> Topics:
    topics = kiss_icp(drive)
    del topics["/kiss/odometry"]
    return topics


def genz_icp(drive: Drive) -> Topics:
    return {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/genz/odometry": odometry(drive.stamps, ("odom", ""), drive.lidar),
        "/genz/trajectory": path(drive.stamps, "odom", drive.lidar),
        **moving((drive.stamps, ("odom", "velodyne"), drive.lidar)),
    }


def rko_lio(drive: Drive) -> Topics:
    frames = "odom", "base_link"
    return {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/rko_lio/odom": odometry(drive.ends(), frames, drive.base),
        **moving((drive.ends(), frames, drive.base)),
        **drive.static("velodyne"),
    }


def fast_lio(drive: Drive) -> Topics:
    frames, ends = ("camera_init", "body"), drive.ends()
    return {
        "/cloud_registered": (POINT_CLOUD, drive.points("camera_init", ends)),
        "/cloud_registered_body": (POINT_CLOUD, drive.points("body", ends)),
        "/Odometry": odometry(ends, frames, drive.lidar),
        "/path": path(ends[::10], "camera_init", drive.lidar),
        **moving((ends, frames, drive.lidar)),
    }


def fast_lio_registered_alone(drive: Drive) -> Topics:
    topics = fast_lio(drive)
    del topics["/cloud_registered_body"]
    return topics


def fast_lio_raw(drive: Drive) -> Topics:
    topics = fast_lio(drive)
    del topics["/cloud_registered"], topics["/cloud_registered_body"]
    topics["/livox/lidar"] = (POINT_CLOUD, drive.points("livox_frame"))
    return topics


def lio_sam(drive: Drive) -> Topics:
    def base(stamp_ns: int) -> np.ndarray:
        return drive.lidar(stamp_ns) @ invert(drive.mount)

    return {
        "/points": (POINT_CLOUD, drive.points("lidar_link")),
        "/lio_sam/mapping/odometry": odometry(drive.stamps, ("odom", "odom_mapping"), drive.lidar),
        "/lio_sam/mapping/odometry_incremental": odometry(
            drive.stamps, ("odom", "odom_mapping"), drive.lidar
        ),
        "/odometry/imu": odometry(drive.at(200), ("odom", "odom_imu"), drive.lidar),
        **moving(
            (drive.stamps, ("odom", "lidar_link"), drive.lidar),
            (drive.at(200), ("odom", "base_link"), base),
        ),
        **drive.static("lidar_link"),
    }


def rtabmap(drive: Drive) -> Topics:
    frames = "odom", "base_link"
    topics: Topics = {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/rtabmap/cloud_map": (POINT_CLOUD, drive.points("map")[::5]),
        "/rtabmap/odom": odometry(drive.stamps, frames, drive.base),
        **moving(
            (drive.stamps, frames, drive.base),
            (drive.at(20), ("map", "odom"), lambda s: np.eye(4)),
        ),
        **drive.static("velodyne"),
    }
    # publish_null_when_lost is true by default.
    lost = odometry_message(drive.stamps[3] + 1, *frames, np.eye(4))
    lost.pose.pose.orientation.w = 0.0
    topics["/rtabmap/odom"][1].append((drive.stamps[3] + 1, lost))
    return topics


def wheels(drive: Drive) -> Topics:
    """diff_drive_controller."""
    frames, times = ("odom", "base_link"), drive.at(50)
    return {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/diff_drive_controller/odom": odometry(times, frames, drive.base),
        **moving((times, frames, drive.base)),
        **drive.static("velodyne"),
    }


def robot_localization(drive: Drive) -> Topics:
    """Its EKF on a robot whose wheels give odometry too; the EKF alone sends TF."""
    frames, times = ("odom", "base_link"), drive.at(30)
    return {
        **wheels(drive),
        "/odometry/filtered": odometry(times, frames, drive.base),
        **moving((times, frames, drive.base)),
    }


def motion_capture(drive: Drive) -> Topics:
    """vrpn_mocap; stamped on reception."""
    rows = [(s, pose_stamped(s, "world", drive.base(s))) for s in drive.at(100)]
    return {
        "/velodyne_points": (POINT_CLOUD, drive.points("velodyne")),
        "/vrpn_mocap/robot/pose": (POSE, rows),
        **drive.static("velodyne"),
    }
