"""Points in annotated boxes."""

import math

import numpy as np
import pytest
from pose_harness import turned

from kdmos_ros.io.box_labels import Box, label_points, speeds
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import Kind


def box(x=0.0, speed=2.0, kind=Kind.CAR, instance=1, yaw=0.0):
    return Box(turned(yaw, x), (4.0, 2.0, 1.5), kind, speed, instance)


@pytest.mark.parametrize(
    ("speed", "kind", "label"),
    [
        (2.0, Kind.CAR, MOVING),
        (0.5, Kind.PEDESTRIAN, MOVING),
        (0.49, Kind.CAR, MOVABLE),
        (0.0, Kind.OBJECT, STATIC),
        (math.nan, Kind.CAR, UNLABELLED),
    ],
)
def test_points_in_a_box(speed, kind, label):
    points = np.array([[1.9, 0.9, 0.7], [0, 0, 0], [10, 0, 0]], np.float32)
    found = label_points(points, [box(speed=speed, kind=kind, instance=7)])
    assert found.labels.tolist() == [label, label, STATIC]
    assert found.kind.tolist() == [kind, kind, 0]
    assert found.instance.tolist() == [7, 7, 0]


def test_the_edge_of_a_box_that_moves_is_not_scored():
    points = np.array([[2.1, 0, 0], [2.3, 0, 0], [0, 1.15, 0], [0, 0, 0.9]], np.float32)
    found = label_points(points, [box()])
    assert found.labels.tolist() == [UNLABELLED, STATIC, UNLABELLED, UNLABELLED]
    assert (label_points(points, [box(speed=0.0)]).labels == STATIC).all()


def test_boxes_are_turned_and_those_that_move_win():
    ahead = np.array([[0.0, 1.9, 0.0]], np.float32)
    assert label_points(ahead, [box(yaw=math.pi / 2)]).labels == MOVING
    assert label_points(ahead, [box()]).labels == STATIC
    both = [box(instance=1), box(speed=0.0, instance=2)]
    assert label_points(np.zeros((1, 3), np.float32) + 0.1, both).instance == 1


def test_speeds_of_a_track():
    stamps = np.arange(20, dtype=np.int64) * 100_000_000
    centres = np.zeros((20, 3))
    centres[:, 0] = np.where(np.arange(20) < 10, 0, (np.arange(20) - 9) * 0.2)
    found = speeds(stamps, centres, 1.0)
    assert found[0] == 0 and found[2] == 0 and found[19] == pytest.approx(2)
    assert np.isnan(speeds(stamps[:1], centres[:1], 1.0)).all()
