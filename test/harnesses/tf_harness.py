"""A TfSource on a bench, for the tests of poses from TF."""

import math

import numpy as np
import pytest
import tf_stand_in
from pipeline_harness import Logger

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import from_pose, make_transform
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.ros.tf_listener import TfListener
from kdmos_ros.ros.tf_source import TfSource
from kdmos_ros.throttled_log import ThrottledLog

SECOND = 1_000_000_000
STEP = SECOND // 10
MOUNT = make_transform(np.eye(3), [0.5, 0, 1.7])
POINTS = np.ones((5, 3), np.float32)


def base(x, yaw=0.0):
    return from_pose([x, 0, 0], [0, 0, math.sin(yaw / 2), math.cos(yaw / 2)])


class Bench:
    """A TfSource. The LiDAR's mount, if it is fixed, is on /tf_static."""

    def __init__(self, fixed_mount=True, **options):
        self.logger = Logger()
        self.buffer = PoseBuffer(max_gap_s=2.0, max_jump_m=1.0, name="transform")
        self.tf = tf_stand_in.Air()
        self.listener = TfListener(self.tf)
        self.source = TfSource(
            self.listener, self.buffer, "base_link", "odom", ThrottledLog(self.logger, 0), **options
        )
        if fixed_mount:
            self.tf.set_static("base_link", "lidar", MOUNT)

    def turn_lidar(self, angles):
        """A joint: step -> angle, radians."""
        for step, angle in angles.items():
            self.tf.set("base_link", "lidar", step * STEP, MOUNT @ base(0, angle))

    def drive(self, *steps, offset=0.0):
        for step in steps:
            self.tf.set("odom", "base_link", round(step * STEP), base(step + offset))

    def ask(self, step, timeout=0.0, frame="lidar"):
        stamp = round(step * STEP)
        self.source.observe(StampedCloud(stamp, frame, POINTS))
        return self.source.wait(stamp, timeout)

    def reason(self, *arguments, **options):
        with pytest.raises(PoseError) as caught:
            self.ask(*arguments, **options)
        return caught.value.reason
