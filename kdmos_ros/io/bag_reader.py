"""A recorded drive: clouds with their poses and the sensor's mount, out of a rosbag2."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.closing import Closing
from kdmos_ros.defaults import FIXED_FRAMES
from kdmos_ros.io.bag_file import (
    POINT_CLOUD,
    BagError,
    BagFile,
    RawMessage,
    decode_cdr,
)
from kdmos_ros.io.bag_poses import BASE_FRAME, BagPoses, Ignored, read_static
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.io.pose_choice import PoseChooser
from kdmos_ros.io.recorded_extrinsics import RecordedExtrinsics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import ExtrinsicError, Extrinsics, FixedExtrinsics
from kdmos_ros.poses.pose_messages import frame_of, stamp_ns_of
from kdmos_ros.poses.pose_source import in_fixed_frame, is_registered

GROUND_TRUTH = "/ground_truth"
# Messages may be recorded a little out of order; a step back of more than this is a restart.
_REORDER_SCANS = 8
_RESTART_NS = 1_000_000_000


class CloudMessage(NamedTuple):
    """A cloud as recorded: header stamp (ns) and the PointCloud2."""

    stamp_ns: int
    message: Any


class RecordedCloud(NamedTuple):
    """The same with its time of recording (ns)."""

    stamp_ns: int
    message: Any
    recorded_ns: int


class BagReader(Closing):
    """Reads one drive offline: all poses first, then the clouds one by one.

    Args:
        path: bag directory, .mcap or .db3 file.
        cloud_topic, odom_topic: names, or None to take the only topic of the type. The second may
            be of any of POSE_TYPES.
        base_T_sensor: (4, 4) mount of the sensor; None: from /tf_static.
        pose_source: one of `defaults.POSE_SOURCES`. Without odometry, the base is `base_link`.
        fixed_frame: frame of the poses, for the source tf.
        cloud_options: how its clouds are to be read, see `defaults.CLOUD_OPTIONS`; what is not set
            has its default.

    Attributes:
        cloud_topic, odom_topic: topics in use; the second is empty without odometry.
        pose_source, fixed_frame: where poses come from; see PoseChoice.
        sensor_frame, base_frame, odom_frame: frame ids.
        base_T_sensor: (4, 4) float64 from the LiDAR to what the poses are of.
        poses: odom_T_base of the whole drive, to look up at any stamp.
        about: what was found where there is no bag but files of clouds, one line; else empty.
        extrinsics: the LiDAR's mount, by the option or from /tf_static.
        odometry: the same as (stamp in ns, pose), in the order of recording.
        static_transforms: {(parent, child): T_parent_child} of /tf_static.
        n_scans: clouds in the bag.
        cloud_options: see above.

    Raises:
        BagError: see BagFile; no such topic, no messages, no mount, or clouds that are registered
            already.
    """

    def __init__(
        self,
        path: str | Path,
        cloud_topic: str | None = None,
        odom_topic: str | None = None,
        base_T_sensor: npt.NDArray[np.float64] | None = None,
        pose_source: str = "odometry",
        fixed_frame: str = FIXED_FRAMES[0],
        cloud_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._bag = BagFile(path)
        self.path, self.about = self._bag.path, self._bag.about
        self.cloud_options = dict(cloud_options or {})
        self._ignored = Ignored()
        self._transforms: BagTransforms | None = None
        try:
            self.cloud_topic = self._bag.choose_topic(POINT_CLOUD, cloud_topic, "--cloud")
            self.n_scans = sum(t.count for t in self._bag.topics if t.name == self.cloud_topic)
            self._first_ns, first_frame = self._first_cloud()
            self.sensor_frame = frame_of(self.cloud_options.get("cloud_frame", "")) or first_frame
            self.static_transforms = read_static(self._bag, self._ignored)
            chooser = PoseChooser(
                self._bag,
                self.cloud_topic,
                self.sensor_frame,
                base_T_sensor is not None,
                self.read_transforms,
            )
            chosen = chooser.choose(pose_source, odom_topic, fixed_frame)
            self.pose_source, self.odom_topic, self.fixed_frame, self._note = chosen
            found = BagPoses(self._bag, self.odom_topic, self._ignored)
            self.odom_frame, self.base_frame = found.fixed_frame, found.base_frame
            if self.pose_source == "tf":
                self.odom_frame = self.fixed_frame
                self.read_transforms()
            self.odometry = found.odometry
            self.poses = PoseBuffer(max_seconds=math.inf)
            for stamp_ns, pose in found.odometry:
                self.poses.add(stamp_ns, pose)
            self.extrinsics: Extrinsics = RecordedExtrinsics(
                self.static_transforms, self.read_transforms
            )
            if base_T_sensor is None:
                base_T_sensor = self._find_mount()
            else:
                self.extrinsics = FixedExtrinsics(base_T_sensor)
                if self.base_frame == self.sensor_frame != BASE_FRAME:
                    base_T_sensor = np.eye(4)  # the poses are the LiDAR's own
            self.base_T_sensor = base_T_sensor
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._bag.close()

    def clouds(self) -> Iterator[CloudMessage]:
        """Clouds in the order of their stamps; a restarted clock starts a new order."""
        return (CloudMessage(c.stamp_ns, c.message) for c in self.recorded_clouds())

    def recorded_clouds(self) -> Iterator[RecordedCloud]:
        """As `clouds`, with the times of recording."""
        return in_stamp_order(self._bag.messages([self.cloud_topic]))

    @property
    def has_ground_truth(self) -> bool:
        """Whether the bag carries labels, see io.ground_truth."""
        return any(t.name == GROUND_TRUTH and t.count > 0 for t in self._bag.topics)

    @property
    def mount(self) -> npt.NDArray[np.float64] | None:
        """The LiDAR's mount (4, 4) on the robot; None where only its own poses are known."""
        try:
            mount = self.extrinsics.look_up(self.base_frame, self.sensor_frame, self._first_ns, 0.0)
            if mount is None and self.sensor_frame != BASE_FRAME:
                mount = self.extrinsics.look_up(BASE_FRAME, self.sensor_frame, self._first_ns, 0.0)
        except ExtrinsicError:
            return None
        return mount

    def read_transforms(self) -> BagTransforms:
        """The bag's frames, moving ones included; read once."""
        if self._transforms is None:
            self._transforms = BagTransforms(self._bag, self.static_transforms, self._ignored)
        return self._transforms

    @property
    def notes(self) -> list[str]:
        """What the user should know of its poses, a line each."""
        return [*filter(None, [self._note]), *self._ignored.notes()]

    def _first_cloud(self) -> tuple[int, str]:
        """Stamp (ns) and frame of the first cloud."""
        header = decode_cdr(next(self._bag.messages([self.cloud_topic]))).header
        return stamp_ns_of(header), frame_of(header.frame_id)

    def _find_mount(self) -> npt.NDArray[np.float64]:
        base, lidar = self.base_frame, self.sensor_frame
        if is_registered(lidar, self.odom_frame):
            raise BagError(f"{self.path}: {in_fixed_frame(lidar)} (--cloud)")
        if not base:
            raise BagError(
                f"{self.path}: {self.odom_topic} names no child frame, so what its poses are of is"
                " unknown: give the LiDAR's mount there with --base-to-lidar, or take poses from"
                " the clouds with --pose-source kiss_icp"
            )
        # A joint's transforms may begin after the first cloud.
        middle = [stamp_ns for stamp_ns, _ in self.odometry[len(self.odometry) // 2 :][:1]]
        for stamp_ns in (self._first_ns, *middle):
            try:
                mount = self.extrinsics.look_up(base, lidar, stamp_ns, 0.0)
                return np.eye(4) if mount is None else mount
            except ExtrinsicError as error:
                why = error
        if self.pose_source != "odometry":
            return np.eye(4)  # the poses are the LiDAR's, whose height the ground tells
        raise BagError(f"{self.path}: {why}")


def in_stamp_order(messages: Iterator[RawMessage]) -> Iterator[RecordedCloud]:
    """Decode messages with a header and sort them by stamp within a short window."""
    waiting: list[tuple[int, int, RecordedCloud]] = []
    newest = 0
    for count, raw in enumerate(messages):
        message = decode_cdr(raw)
        stamp = stamp_ns_of(message.header)
        if waiting and stamp < newest - _RESTART_NS:
            while waiting:
                yield heapq.heappop(waiting)[2]
        newest = stamp if not waiting else max(newest, stamp)
        heapq.heappush(waiting, (stamp, count, RecordedCloud(stamp, message, raw.stamp_ns)))
        if len(waiting) > _REORDER_SCANS:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
