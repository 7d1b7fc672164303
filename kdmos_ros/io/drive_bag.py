"""Writes drives (clouds, odometry, mount, labels) as rosbag2, e.g. simulated ones."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, TF
from kdmos_ros.io.bag_messages import cloud_message, odometry_message, transform_message
from kdmos_ros.io.bag_poses import TF_STATIC
from kdmos_ros.io.bag_reader import GROUND_TRUTH
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.io.calibration_file import LIDAR_TO_CAMERA, Calibration
from kdmos_ros.io.ground_truth import ground_truth_message
from kdmos_ros.io.kitti_calibration import (
    CAMERA_FRAME,
    CAMERA_INFO,
    camera_info,
    camera_topic,
)
from kdmos_ros.labels import to_semantickitti
from kdmos_ros.scan import Scan
from kdmos_ros.semantickitti_ids import semantic_ids

CLOUD_TOPIC = "/points"
ODOM_TOPIC = "/odom"
SENSOR_FRAME, BASE_FRAME, ODOM_FRAME = "lidar", "base_link", "odom"


def pack_labels(
    classes: npt.NDArray[np.uint8],
    instance: npt.NDArray[np.int32] | None = None,
    kind: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint32]:
    """SemanticKITTI labels (N,) uint32: id of the class, instance in the upper 16 bits.

    With the object kinds (N,) of the simulator the ids tell these too, e.g. 252 for a moving car.
    """
    raw = to_semantickitti(classes) if kind is None else semantic_ids(classes, kind)
    if instance is not None:
        raw = raw | (instance.astype(np.uint32) << np.uint32(16))
    return raw


class DriveWriter:
    """Writes a bag with CLOUD_TOPIC, ODOM_TOPIC, /tf_static and, for labelled scans, /ground_truth.

    Use it in a `with` statement; the bag appears when it is complete (see BagWriter).

    Args:
        path: directory of the new bag.
        base_T_sensor: (4, 4) mount of the sensor.
        overwrite: replace a bag of that name.
        calibration: of cameras, see io.calibration; written too.

    Raises:
        BagError: as BagWriter.
    """

    def __init__(
        self,
        path: str | Path,
        base_T_sensor: npt.NDArray[np.float64],
        *,
        overwrite: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        self._calibration = dict(calibration or {})
        self._sensor_T_base = transforms.invert(base_T_sensor)
        self._base_T_sensor = base_T_sensor
        self._bag = BagWriter(path, overwrite=overwrite)
        self._bag.add_topic(TF_STATIC, TF, latched=True)
        self._bag.add_topic(CLOUD_TOPIC, POINT_CLOUD)
        self._bag.add_topic(ODOM_TOPIC, ODOMETRY)
        self._bag.add_topic(GROUND_TRUTH, POINT_CLOUD)
        self._started = False

    def __enter__(self) -> DriveWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bag.__exit__(kind, error, trace)

    def add(
        self,
        scan: Scan,
        labels: npt.NDArray[np.uint32] | None = None,
        seconds: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Write a scan and the odometry at its stamp.

        Args:
            labels: (N,) uint32, raw SemanticKITTI.
            seconds: (N,) float32 time of each point after the stamp: written as the field `time`.
        """
        stamp = scan.stamp_ns
        if not self._started:
            self._start(stamp)
            self._started = True
        pose = scan.pose @ self._sensor_T_base
        self._bag.write(ODOM_TOPIC, stamp, odometry_message(stamp, ODOM_FRAME, BASE_FRAME, pose))
        columns = [(name, scan.points[:, k]) for k, name in enumerate("xyz")]
        if scan.intensity is not None:
            columns.append(("intensity", scan.intensity))
        if seconds is not None:
            columns.append(("time", seconds.astype(np.float32)))
        self._bag.write(CLOUD_TOPIC, stamp, cloud_message(stamp, SENSOR_FRAME, columns))
        if labels is not None:
            truth = ground_truth_message(stamp, SENSOR_FRAME, labels)
            self._bag.write(GROUND_TRUTH, stamp, truth)

    def _start(self, stamp_ns: int) -> None:
        """Write what holds for the whole drive."""
        static = transform_message(stamp_ns, BASE_FRAME, SENSOR_FRAME, self._base_T_sensor)
        if LIDAR_TO_CAMERA in self._calibration:
            camera_T_lidar = np.eye(4)
            camera_T_lidar[:3] = self._calibration[LIDAR_TO_CAMERA]
            lidar_T_camera = transforms.invert(camera_T_lidar)
            # In one message: of a latched topic a late subscriber gets the last one only.
            camera = transform_message(stamp_ns, SENSOR_FRAME, CAMERA_FRAME, lidar_T_camera)
            static.transforms.extend(camera.transforms)
        self._bag.write(TF_STATIC, stamp_ns, static)
        for name, projection in self._calibration.items():
            topic = camera_topic(name)
            if topic is not None:
                self._bag.add_topic(topic, CAMERA_INFO, latched=True)
                self._bag.write(topic, stamp_ns, camera_info(stamp_ns, projection))
