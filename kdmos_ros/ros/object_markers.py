"""Moving objects for display: boxes with velocity arrows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from visualization_msgs.msg import Marker, MarkerArray

from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.ros.compat import quaternion_from_matrix
from kdmos_ros.tracking.objects import MovingObject

_BOX_COLOUR = (1.0, 0.25, 0.2, 0.35)
_ARROW_COLOUR = (1.0, 0.85, 0.2, 1.0)
_TEXT_COLOUR = (1.0, 1.0, 1.0, 1.0)
_LEAST_SIZE_M = 0.1
_SHAFT_M, _HEAD_M, _TEXT_M = 0.15, 0.35, 0.7
# Displays that miss a message must not show its objects forever.
_LIFETIME = Duration(nanosec=500_000_000)


def marker_array(
    header: Any, objects: list[MovingObject], pose: npt.NDArray[np.float64]
) -> MarkerArray:
    """Boxes ("box"), arrows as long as a second's way ("velocity") and speeds in m/s ("speed").

    Args:
        header: of the cloud; its frame is that of the markers.
        pose: (4, 4) T_odom_cloud at the stamp, to bring the objects into that frame.
    """
    # First of all, what was shown before goes.
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    sensor_T_odom = invert(pose)
    for found in objects:
        markers.append(_box(header, found, sensor_T_odom))
        if found.velocity is not None:
            markers += _motion(header, found, found.velocity, sensor_T_odom)
    return MarkerArray(markers=markers)


def _box(header: Any, found: MovingObject, sensor_T_odom: npt.NDArray[np.float64]) -> Marker:
    c, s = np.cos(found.yaw), np.sin(found.yaw)
    pose = sensor_T_odom @ make_transform([[c, -s, 0], [s, c, 0], [0, 0, 1]], found.centre)
    marker = _marker(header, "box", found.id, Marker.CUBE, _BOX_COLOUR)
    marker.pose.position = _point(pose[:3, 3])
    orientation = marker.pose.orientation
    q = quaternion_from_matrix(pose)
    orientation.x, orientation.y, orientation.z, orientation.w = (float(v) for v in q)
    _scale(marker, *np.maximum(found.size, _LEAST_SIZE_M))
    return marker


def _motion(
    header: Any,
    found: MovingObject,
    velocity: npt.NDArray[np.float64],
    sensor_T_odom: npt.NDArray[np.float64],
) -> list[Marker]:
    above = found.size[2] / 2 + _TEXT_M
    offsets = np.array([[0.0, 0.0, 0.0], [*velocity, 0.0], [0.0, 0.0, above]])
    places = (found.centre + offsets) @ sensor_T_odom[:3, :3].T + sensor_T_odom[:3, 3]
    arrow = _marker(header, "velocity", found.id, Marker.ARROW, _ARROW_COLOUR)
    arrow.points = [_point(place) for place in places[:2]]
    _scale(arrow, _SHAFT_M, _HEAD_M, 0.0)
    text = _marker(header, "speed", found.id, Marker.TEXT_VIEW_FACING, _TEXT_COLOUR)
    text.text = f"{np.hypot(*velocity):.1f} m/s"
    text.pose.position = _point(places[2])
    _scale(text, 0.0, 0.0, _TEXT_M)
    return [arrow, text]


def _marker(
    header: Any, namespace: str, number: int, kind: int, colour: tuple[float, ...]
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=number, type=kind, lifetime=_LIFETIME)
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = colour
    marker.pose.orientation.w = 1.0
    return marker


def _scale(marker: Marker, x: float, y: float, z: float) -> None:
    marker.scale.x, marker.scale.y, marker.scale.z = float(x), float(y), float(z)


def _point(place: npt.NDArray[np.float64]) -> Point:
    return Point(x=float(place[0]), y=float(place[1]), z=float(place[2]))
