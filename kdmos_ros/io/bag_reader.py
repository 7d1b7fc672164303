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
from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import (
    ODOMETRY,
    POINT_CLOUD,
    TF,
    BagError,
    BagFile,
    RawMessage,
    decode_cdr,
)
from kdmos_ros.io.bag_messages import stamp_ns_of
from kdmos_ros.poses.buffer import PoseBuffer

TF_STATIC = "/tf_static"
BASE_FRAME = "base_link"  # REP-105
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
        cloud_topic, odom_topic: names, or None to take the only topic of the type.
        base_T_sensor: (4, 4) mount of the sensor; None: from /tf_static.
        needs_odometry: false reads none; the base is then `base_link`.
        cloud_options: how its clouds are to be read, see `defaults.CLOUD_OPTIONS`; what is not set
            has its default.

    Attributes:
        cloud_topic, odom_topic: topics in use.
        sensor_frame, base_frame, odom_frame: frame ids.
        base_T_sensor: (4, 4) float64.
        poses: odom_T_base of the whole drive, to look up at any stamp.
        odometry: the same as (stamp in ns, pose), in the order of recording.
        static_transforms: {(parent, child): T_parent_child} of /tf_static.
        n_scans: clouds in the bag.
        cloud_options: see above.

    Raises:
        BagError: see BagFile; no such topic, no messages, no mount, or a broken message.
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
        self.path = self._bag.path
        self.cloud_options = dict(cloud_options or {})
        try:
            self.cloud_topic = self._bag.choose_topic(POINT_CLOUD, cloud_topic, "--cloud")
            self.odom_topic = ""
            if needs_odometry:
                self.odom_topic = self._bag.choose_topic(ODOMETRY, odom_topic, "--odom")
            self.n_scans = sum(t.count for t in self._bag.topics if t.name == self.cloud_topic)
            self.sensor_frame = self._sensor_frame()
            self.poses = PoseBuffer(max_seconds=math.inf)
            self.odometry: list[tuple[int, npt.NDArray[np.float64]]] = []
            self.odom_frame, self.base_frame = "", "" if needs_odometry else BASE_FRAME
            self.static_transforms = self._read_poses()
            if base_T_sensor is None:
                base_T_sensor = self._find_mount(self.static_transforms)
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

    def _sensor_frame(self) -> str:
        first = next(self._bag.messages([self.cloud_topic]))
        return _frame(decode_cdr(first).header.frame_id)

    def _read_poses(self) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        """Fill the pose buffer; return static transforms by (parent, child)."""
        static: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
        for raw in self._bag.messages([*filter(None, [self.odom_topic]), TF_STATIC]):
            message = decode_cdr(raw)
            if raw.topic == self.odom_topic:
                self._add_pose(raw, message)
            elif raw.msgtype == TF:
                for transform in message.transforms:
                    t, q = transform.transform.translation, transform.transform.rotation
                    parent, child = (
                        _frame(transform.header.frame_id),
                        _frame(transform.child_frame_id),
                    )
                    static[parent, child] = self._pose(raw, t, q)
        return static

    def _add_pose(self, raw: RawMessage, message: Any) -> None:
        frames = _frame(message.header.frame_id), _frame(message.child_frame_id)
        if not len(self.poses):
            self.odom_frame, self.base_frame = frames
        stamp_ns, pose = stamp_ns_of(message.header), message.pose.pose
        matrix = self._pose(raw, pose.position, pose.orientation)
        self.odometry.append((stamp_ns, matrix))
        self.poses.add(stamp_ns, matrix)

    def _pose(self, raw: RawMessage, t: Any, q: Any) -> npt.NDArray[np.float64]:
        try:
            return transforms.from_pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        except ValueError as error:
            raise BagError(f"{self.path}: {raw.topic} at {raw.stamp_ns} ns: {error}") from error

    def _find_mount(
        self, static: dict[tuple[str, str], npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        if not self.base_frame:
            raise BagError(
                f"{self.path}: {self.odom_topic} names no child frame, so the sensor's mount is"
                " unknown; give it with --base-to-lidar"
            )
        mount = chain(static, self.base_frame, self.sensor_frame)
        if mount is None:
            raise BagError(
                f"{self.path}: no static transform from {self.base_frame!r} to"
                f" {self.sensor_frame!r} in {TF_STATIC}; give it with --base-to-lidar"
            )
        return mount


def chain(
    static: dict[tuple[str, str], npt.NDArray[np.float64]], target: str, source: str
) -> npt.NDArray[np.float64] | None:
    """T_target_source along static transforms {(parent, child): T_parent_child}, or None.

    Links are followed in both directions, as tf2 does.
    """
    found = {target: np.eye(4)}
    frontier = [target]
    while frontier and source not in found:
        frame = frontier.pop()
        for (parent, child), link in static.items():
            if parent == frame and child not in found:
                found[child] = found[frame] @ link
                frontier.append(child)
            elif child == frame and parent not in found:
                found[parent] = found[frame] @ transforms.invert(link)
                frontier.append(parent)
    return found.get(source)


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


def _frame(name: str) -> str:
    # tf dropped leading slashes, some drivers did not.
    return name.lstrip("/")
