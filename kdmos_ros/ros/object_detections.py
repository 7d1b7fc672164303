"""Moving objects as vision_msgs/Detection3DArray, where that package is installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.ros.compat import quaternion_from_matrix
from kdmos_ros.tracking.objects import MovingObject

MOVING, IN_1_S = "moving", "in_1_s"
"""Class ids of the two hypotheses of a detection."""


def detection_types() -> Any:
    """The module vision_msgs.msg; None where the package is not installed."""
    try:
        return importlib.import_module("vision_msgs.msg")
    except ModuleNotFoundError:
        return None


def detection_array(
    types: Any, header: Any, objects: list[MovingObject], pose: npt.NDArray[np.float64]
) -> Any:
    """One Detection3D an object; its id stays with the object while it is followed.

    The messages know no velocity. So a detection whose velocity is known (m/s) has a second
    hypothesis, "in_1_s", with the pose that the object has a second later if it goes on as it does:
    the velocity is the way from the first to the second pose.

    Args:
        types: the module vision_msgs.msg.
        header: of the cloud; its frame is that of the detections.
        pose: (4, 4) T_odom_cloud at the stamp, to bring the objects into that frame.
    """
    sensor_T_odom = invert(pose)
    detections = []
    for found in objects:
        place = _pose(found, found.centre, sensor_T_odom)
        detection = types.Detection3D(header=header, id=str(found.id))
        detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z = map(float, found.size)
        _write(detection.bbox.center, place)
        detection.results.append(_hypothesis(types, MOVING, place))
        if found.velocity is not None:
            later = found.centre + np.array([*found.velocity, 0.0])
            next_place = _pose(found, later, sensor_T_odom)
            detection.results.append(_hypothesis(types, IN_1_S, next_place))
        detections.append(detection)
    return types.Detection3DArray(header=header, detections=detections)


def _pose(
    found: MovingObject, centre: npt.NDArray[np.float64], sensor_T_odom: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    c, s = np.cos(found.yaw), np.sin(found.yaw)
    return sensor_T_odom @ make_transform([[c, -s, 0], [s, c, 0], [0, 0, 1]], centre)


def _hypothesis(types: Any, class_id: str, place: npt.NDArray[np.float64]) -> Any:
    result = types.ObjectHypothesisWithPose()
    # What is published has been called moving already: the model's threshold is the judgement.
    result.hypothesis.class_id, result.hypothesis.score = class_id, 1.0
    _write(result.pose.pose, place)
    return result


def _write(message: Any, place: npt.NDArray[np.float64]) -> None:
    """Fill a geometry_msgs/Pose."""
    where, turn = message.position, message.orientation
    where.x, where.y, where.z = (float(v) for v in place[:3, 3])
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in quaternion_from_matrix(place))
