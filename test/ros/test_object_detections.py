"""Objects as Detection3DArray: with the real vision_msgs where it is there, else by its fields."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.ros.object_detections import detection_array, detection_types
from kdmos_ros.tracking.objects import MovingObject


@dataclass
class Hypothesis:
    class_id: str = ""
    score: float = 0.0


@dataclass
class HypothesisWithPose:
    hypothesis: Hypothesis = field(default_factory=Hypothesis)
    pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)


@dataclass
class Box:
    center: Pose = field(default_factory=Pose)
    size: Vector3 = field(default_factory=Vector3)


@dataclass
class Detection:
    header: Header = field(default_factory=Header)
    results: list = field(default_factory=list)
    bbox: Box = field(default_factory=Box)
    id: str = ""


@dataclass
class Detections:
    header: Header = field(default_factory=Header)
    detections: list = field(default_factory=list)


STAND_IN = SimpleNamespace(
    Detection3D=Detection,
    Detection3DArray=Detections,
    ObjectHypothesisWithPose=HypothesisWithPose,
)


@pytest.fixture(params=["real", "stand-in"])
def types(request):
    if request.param == "stand-in":
        return STAND_IN
    real = detection_types()
    if real is None:
        pytest.skip("vision_msgs is not installed")
    return real


def found(velocity):
    centre, size = np.array([12.0, 3.0, 1.0]), np.array([4.0, 1.8, 1.5])
    return MovingObject(7, centre, size, np.pi / 2, velocity, 100)


# The sensor stands 2 m ahead of the origin and looks to the left.
POSE = make_transform(np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]]), [2, 0, 0])


def test_place_size_heading_and_id_are_in_the_frame_of_the_cloud(types):
    header = Header(frame_id="lidar")
    message = detection_array(types, header, [found(None)], POSE)
    (detection,) = message.detections
    assert (message.header.frame_id, detection.id) == ("lidar", "7")
    place, turn = detection.bbox.center.position, detection.bbox.center.orientation
    assert np.allclose([place.x, place.y, place.z], [3, -10, 1])
    assert np.allclose([turn.x, turn.y, turn.z, abs(turn.w)], [0, 0, 0, 1])
    size = detection.bbox.size
    assert np.allclose([size.x, size.y, size.z], [4, 1.8, 1.5])
    assert [r.hypothesis.class_id for r in detection.results] == ["moving"]


def test_the_second_hypothesis_is_a_second_later(types):
    message = detection_array(types, Header(), [found(np.array([0.0, 9.0]))], POSE)
    now, later = (r.pose.pose.position for r in message.detections[0].results)
    assert message.detections[0].results[1].hypothesis.class_id == "in_1_s"
    assert np.allclose([later.x - now.x, later.y - now.y, later.z - now.z], [9, 0, 0])


def test_nothing_moves(types):
    assert detection_array(types, Header(), [], np.eye(4)).detections == []
