"""Recorded drives: nothing is said of good ones, and the same drives with a fault are told."""

from dataclasses import replace

import numpy as np
import pytest
from avenue_harness import yaw

from kdmos_ros.geometry.transforms import invert
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter, default_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(default_model(), provider="cpu")


class Faulty:
    """A ScanSegmenter that is told another pose or mount of each scan."""

    def __init__(self, segmenter, health, fault):
        self._next = OnlineSegmenter(segmenter)
        self._health, self._fault = health, fault
        self.reset, self.flush = self._next.reset, self._next.flush

    def push(self, scan):
        told = self._fault(scan)
        future = self._next.push(told)
        self._health.observe(told, future.result().labels)
        return future


def complaints(real_data, name, segmenter, fault=lambda scan: scan, limit=40):
    health = HealthMonitor()
    with BagReader(real_data / name / "bag") as bag:
        for _ in replay(bag, Faulty(segmenter, health, fault), limit):
            pass
    return health.summary()


@pytest.mark.parametrize(
    "name", ["kitti_0005", "kitti_0001", "kitti_0048", "kitti_queue", "lyft_a"]
)
def test_good_recordings_have_no_complaint(real_data, name, segmenter):
    assert complaints(real_data, name, segmenter, limit=70) == []


def turned(degrees):
    def fault(scan):
        mount = scan.base_T_sensor @ yaw(degrees)
        pose = scan.pose @ invert(scan.base_T_sensor) @ mount
        return replace(scan, pose=pose, base_T_sensor=mount)

    return fault


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        ("everything_moves", turned(180)),
        ("mount_yaw", turned(5)),
        ("mount_yaw", turned(-5)),
        ("odometry_frozen", lambda scan: replace(scan, pose=np.eye(4))),
    ],
)
def test_faults_are_told(real_data, cause, fault, segmenter):
    told = complaints(real_data, "kitti_0005", segmenter, fault)
    assert [line for line in told if cause in line], told
