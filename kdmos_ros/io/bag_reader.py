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
from kdmos_ros.io.bag_file import (
    ODOMETRY,
    POINT_CLOUD,
    BagError,
    BagFile,
    RawMessage,
    decode_cdr,
)
from kdmos_ros.io.bag_messages import stamp_ns_of
from kdmos_ros.io.bag_poses import BASE_FRAME, POSE_TYPES, BagPoses, frame_of
from kdmos_ros.io.bag_transforms import BagTransforms
from kdmos_ros.io.recorded_extrinsics import RecordedExtrinsics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import ExtrinsicError, Extrinsics, FixedExtrinsics
from kdmos_ros.poses.pose_source import in_fixed_frame

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
        needs_odometry: false reads none; the base is then `base_link`.
        cloud_options: how its clouds are to be read, see `defaults.CLOUD_OPTIONS`; what is not set
            has its default.

    Attributes:
        cloud_topic, odom_topic: topics in use.
        sensor_frame, base_frame, odom_frame: frame ids.
        base_T_sensor: (4, 4) float64 from the LiDAR to what the poses are of.
        poses: odom_T_base of the whole drive, to look up at any stamp.
        about: what was found where there is no bag but files of clouds, one line; else empty.
        notes: what the user should know of its poses, a line each.
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
        needs_odometry: bool = True,
        cloud_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._bag = BagFile(path)
        self.path, self.about = self._bag.path, self._bag.about
        self.cloud_options = dict(cloud_options or {})
        try:
            self.cloud_topic = self._bag.choose_topic(POINT_CLOUD, cloud_topic, "--cloud")
            self.odom_topic = ""
            if needs_odometry:
                self.odom_topic = self._choose_odometry(odom_topic)
            self.n_scans = sum(t.count for t in self._bag.topics if t.name == self.cloud_topic)
            self._first_ns, first_frame = self._first_cloud()
            self.sensor_frame = frame_of(self.cloud_options.get("cloud_frame", "")) or first_frame
            found = BagPoses(self._bag, self.odom_topic)
            self.notes = found.notes()
            self.odom_frame, self.base_frame = found.fixed_frame, found.base_frame
            self.odometry, self.static_transforms = found.odometry, found.static
            self.poses = PoseBuffer(max_seconds=math.inf)
            for stamp_ns, pose in found.odometry:
                self.poses.add(stamp_ns, pose)
            self.extrinsics: Extrinsics = RecordedExtrinsics(found.static, self.read_transforms)
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
        """The bag's frames, moving ones included."""
        return BagTransforms(self._bag, self.static_transforms)

    def _choose_odometry(self, wanted: str | None) -> str:
        name = "/" + (wanted or "").strip("/")
        msgtype = next((t.msgtype for t in self._bag.topics if t.name == name), ODOMETRY)
        if msgtype not in POSE_TYPES:
            msgtype = ODOMETRY
        return self._bag.choose_topic(msgtype, wanted, "--odom")

    def _first_cloud(self) -> tuple[int, str]:
        """Stamp (ns) and frame of the first cloud."""
        header = decode_cdr(next(self._bag.messages([self.cloud_topic]))).header
        return stamp_ns_of(header), frame_of(header.frame_id)

    def _find_mount(self) -> npt.NDArray[np.float64]:
        base, lidar = self.base_frame, self.sensor_frame
        if lidar == self.odom_frame:
            raise BagError(f"{self.path}: {in_fixed_frame(lidar)} (--cloud)")
        if not base:
            raise BagError(
                f"{self.path}: {self.odom_topic} names no child frame, so the sensor's mount is"
                " unknown; give it with --base-to-lidar"
            )
        # A joint's transforms may begin after the first cloud.
        middle = [stamp_ns for stamp_ns, _ in self.odometry[len(self.odometry) // 2 :][:1]]
        for stamp_ns in (self._first_ns, *middle):
            try:
                mount = self.extrinsics.look_up(base, lidar, stamp_ns, 0.0)
                return np.eye(4) if mount is None else mount
            except ExtrinsicError as error:
                why = error
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
