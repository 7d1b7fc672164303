"""KITTI's calibration in a bag, as ROS has it; the file is `calibration_file`.

A static transform from the LiDAR to CAMERA_FRAME, and a CameraInfo for each projection.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.io.bag_file import BagFile, decode_cdr, typestore
from kdmos_ros.io.bag_messages import header
from kdmos_ros.io.bag_poses import chain
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.calibration_file import LIDAR_TO_CAMERA

CAMERA_FRAME = "camera_0"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_TOPIC = re.compile(r"/camera_(\d)/camera_info")


def camera_topic(name: str) -> str | None:
    """Topic of a projection's CameraInfo, e.g. /camera_2/camera_info of P2; None: not one."""
    match = re.fullmatch(r"P(\d)", name)
    return f"/camera_{match[1]}/camera_info" if match else None


def camera_info(stamp_ns: int, projection: npt.NDArray[np.float64]) -> Any:
    """CameraInfo of rectified images with a projection (3, 4); their size is not known."""
    types = typestore().types
    return types[CAMERA_INFO](
        header(stamp_ns, CAMERA_FRAME),
        0,
        0,
        "",
        np.zeros(0),
        np.ascontiguousarray(projection[:, :3]).reshape(-1),
        np.eye(3).reshape(-1),
        np.ascontiguousarray(projection).reshape(-1),
        0,
        0,
        types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )


def bag_calibration(bag: BagReader) -> dict[str, npt.NDArray[np.float64]]:
    """What a bag tells of P0..P3 and Tr; a camera that is the LiDAR itself where there is none."""
    found: dict[str, npt.NDArray[np.float64]] = {}
    with BagFile(bag.path) as file:
        names = {t.name for t in file.topics if t.msgtype == CAMERA_INFO}
        for name in sorted(names):
            match = _TOPIC.fullmatch(name)
            message = next(file.messages([name]), None)
            if match and message is not None:
                projection = np.asarray(decode_cdr(message).p, np.float64).reshape(3, 4)
                found[f"P{match[1]}"] = projection
    camera_T_lidar = chain(bag.static_transforms, CAMERA_FRAME, bag.sensor_frame)
    found[LIDAR_TO_CAMERA] = np.eye(4)[:3] if camera_T_lidar is None else camera_T_lidar[:3]
    return found
