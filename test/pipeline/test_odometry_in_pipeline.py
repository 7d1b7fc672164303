"""Odometry messages as a source of poses, up to the pipeline: what clears the history, and why."""

from types import SimpleNamespace

import numpy as np
import pytest
from cloud_harness import make_cloud
from pipeline_harness import MOUNT, Logger, Recorder

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.odometry_source import OdometrySource
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.pose_messages import ODOMETRY
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.throttled_log import ThrottledLog

STEP = 100_000_000


def odometry(step, x, yaw=0.0, frames=("odom", "base_link"), quaternion=None):
    sec, nanosec = divmod(round(step * STEP), 1_000_000_000)
    if quaternion is None:
        quaternion = (0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frames[0]),
        child_frame_id=frames[1],
        pose=SimpleNamespace(
            pose=SimpleNamespace(
                position=SimpleNamespace(x=x, y=0.0, z=0.0),
                orientation=SimpleNamespace(**dict(zip("xyzw", quaternion, strict=True))),
            )
        ),
    )


class Robot:
    """Drives 1 m a step; odometry and clouds come in the order of the calls."""

    def __init__(self):
        self.logger, self.statistics, self.segmenter = Logger(), Statistics(), Recorder()
        log = ThrottledLog(self.logger, 0)
        self.buffer = PoseBuffer(30.0, 0.5, 1.0)
        self.source = OdometrySource(self.buffer, "/odom", "base_link", self.statistics, log)
        self.pipeline = CloudPipeline(
            OnlineSegmenter(self.segmenter), self.source, FixedExtrinsics(MOUNT),
            {"pose_timeout": 0.0, **CLOUD_OPTIONS}, self.statistics, log,
        )  # fmt: skip

    def hear(self, *steps, offset=0.0, **options):
        for step in steps:
            self.source.receive(odometry(step, step + offset, **options), ODOMETRY)

    def see(self, step):
        self.pipeline.process(make_cloud("plain_xyz")[0], round(step * STEP), "lidar")

    def drop(self, step):
        with pytest.raises(DroppedScan) as caught:
            self.see(step)
        return caught.value.reason

    @property
    def resets(self):
        return self.segmenter.calls.count("reset")

    def cleared(self):
        """Why, as logged."""
        return [line for line in self.logger.lines if "history cleared" in line]


@pytest.fixture
def robot():
    robot = Robot()
    for step in range(6):
        robot.hear(step)
        robot.see(step)
    assert robot.resets == 0
    return robot


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"offset": 7.0}, "7.0 m off its course"),  # relocalisation
        ({"offset": -1.5}, "1.5 m off its course"),  # loop closure
        ({"yaw": 0.6}, "turned by 34 degrees"),
        ({"frames": ("map", "base_link")}, "frames are now map -> base_link"),
        ({"frames": ("odom", "base_footprint")}, "frames are now odom -> base_footprint"),
    ],
)
def test_poses_that_do_not_go_on_clear_the_history_once(robot, what, why):
    for step in (6, 7, 8):
        robot.hear(step, **what)
        robot.see(step)
    assert robot.resets == 1
    (line,) = robot.cleared()
    assert why in line


def test_gap_clears_the_history(robot):
    robot.hear(12)
    assert robot.drop(9) == "pose_gap"
    robot.see(12)
    assert robot.resets == 1
    assert "gap of 0.70 s" in robot.cleared()[0]


def test_time_that_goes_back_clears_the_history():
    robot = Robot()
    for step in (1000, 1001, 0, 1):
        robot.hear(step)
        robot.see(step)
    assert robot.resets == 1
    assert "time went back" in robot.cleared()[0]


def test_poses_out_of_order_and_twice_do_no_harm(robot):
    robot.hear(8, 6, 7, 7)
    for step in (6, 6.5, 7.5, 8):
        robot.see(step)
    np.testing.assert_allclose(robot.segmenter.scans[-2].pose[0, 3], 7.5 + MOUNT[0, 3])
    figures = robot.source.figures()
    assert (figures["odometry.out_of_order"], figures["odometry.duplicates"]) == (2, 1)
    assert robot.resets == 0


def test_a_pose_that_comes_too_late_costs_its_cloud_only(robot):
    assert robot.drop(6) == "pose_timeout"
    robot.hear(6, 7)
    robot.see(7)
    assert robot.resets == 0


def test_late_poses_from_before_a_relocalisation_are_left_out(robot):
    robot.hear(8, 9, 10, offset=7.0)
    robot.hear(6, 7)
    robot.see(10)
    assert robot.resets == 1
    assert robot.source.figures()["odometry.outliers"] == 2
    assert robot.drop(7.5) == "out_of_order"
    assert any("late pose of the odometry is left out" in line for line in robot.logger.lines)


@pytest.mark.parametrize("bad", [{"quaternion": (0.0, 0.0, 0.0, 0.0)}, {"offset": np.nan}])
def test_messages_that_are_no_pose_are_counted(robot, bad):
    robot.hear(6, **bad)
    assert robot.statistics.snapshot().events["bad_odometry"] == 1
    robot.hear(6, 7)
    robot.see(7)
    assert robot.resets == 0
