"""Poses from TF in the pipeline: mounts, drops, resets, deskewing."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from cloud_harness import make_cloud
from pipeline_harness import Recorder
from tf_harness import MOUNT, SECOND, STEP, Bench, base

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.geometry.transforms import invert, transform
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.extrinsics import ExtrinsicError, FixedExtrinsics
from kdmos_ros.ros.tf_extrinsics import TfExtrinsics
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.throttled_log import ThrottledLog


@pytest.fixture
def bench(tf_library):
    return Bench()


@pytest.fixture
def jointed(tf_library):
    return Bench(fixed_mount=False)


class Way:
    """A pipeline with poses and mount from TF."""

    def __init__(self, bench, extrinsics=None, **options):
        self.bench = bench
        self.extrinsics = extrinsics or TfExtrinsics(bench.listener)
        self.segmenter, self.statistics = Recorder(), Statistics()
        options = {"pose_timeout": 0.0, **CLOUD_OPTIONS, **options}
        self.pipeline = CloudPipeline(
            OnlineSegmenter(self.segmenter), bench.source, self.extrinsics, options,
            self.statistics, ThrottledLog(bench.logger, 0),
        )  # fmt: skip

    def process(self, step, cloud=None):
        cloud = cloud or make_cloud("plain_xyz")[0]
        return self.pipeline.process(cloud, round(step * STEP), "lidar").labelled()


def test_pipeline_gets_pose_and_mount_of_the_stamp(jointed):
    jointed.drive(10, 11)
    jointed.turn_lidar({10: 0.0, 11: 0.4})
    way = Way(jointed)
    way.process(10.5)
    np.testing.assert_allclose(
        way.segmenter.scans[0].pose, base(10.5) @ MOUNT @ base(0, 0.2), atol=1e-12
    )
    np.testing.assert_allclose(way.segmenter.mount, MOUNT @ base(0, 0.2), atol=1e-12)
    way.process(10.75)  # the joint went on
    np.testing.assert_allclose(way.segmenter.mount, MOUNT @ base(0, 0.3), atol=1e-12)
    assert "reset" not in way.segmenter.calls


def test_drops_carry_the_names_of_tf(bench):
    bench.drive(10)
    way = Way(bench)
    for step, reason in ((9, "tf_extrapolation"), (11, "tf_timeout")):
        with pytest.raises(DroppedScan) as caught:
            way.process(step)
        assert caught.value.reason == reason


def test_without_a_base_frame_the_lidar_itself_is_known(bench):
    bench.source.base_frame = "base_footprint"
    bench.drive(10)
    way = Way(bench)
    way.process(10)
    assert way.segmenter.mount is None
    assert any("base_footprint -> lidar" in line for line in bench.logger.lines)


def test_relocalisation_in_tf_clears_the_history(bench):
    way = Way(bench)
    for step in range(1, 7):
        bench.drive(step, offset=7.0 if step > 4 else 0.0)
        way.process(step)
    assert way.segmenter.calls == [*["push"] * 4, "reset", "push", "push"]
    assert any("history cleared: the transform jumped" in line for line in bench.logger.lines)


def test_a_bag_that_loops_finds_its_moving_joint_again(jointed):
    way = Way(jointed)
    for first in (1000, 0):
        for step in range(first, first + 3):
            jointed.drive(step)
            jointed.turn_lidar({step: 0.1 * (step - first)})
            if step == first:
                continue
            try:
                way.process(step)
            except (DroppedScan, ExtrinsicError):
                assert (first, step) == (0, 1)  # this one tells that the time went back
    assert [s.stamp_ns for s in way.segmenter.scans] == [
        1001 * STEP, 1002 * STEP, 2 * STEP
    ]  # fmt: skip


# -- deskewing -----------------------------------------------------------------------------------


def sweep(first, last, n=50):
    """A cloud whose points were taken between two steps after its stamp, and where they are."""
    seconds = np.linspace(first, last, n) * STEP / SECOND
    cloud, truth = make_cloud("velodyne", n, values={"time": seconds})
    return cloud, np.stack([truth[axis] for axis in "xyz"], 1), np.linspace(first, last, n)


def stood_still(points, steps, pose_at, stamp):
    """Points (N, 3), each taken at its step after the stamp, in the LiDAR's frame at the stamp."""
    here = invert(pose_at(stamp))
    pairs = zip(points, steps, strict=True)
    return np.concatenate([transform(here @ pose_at(stamp + s), p[None]) for p, s in pairs])


@pytest.mark.parametrize("span", [(-1.0, 0.0), (0.0, 1.0), (-0.5, 0.5)])
def test_points_are_moved_by_the_whole_chain(jointed, span):
    """The robot drives and the LiDAR turns on it."""
    jointed.drive(*range(8, 14))
    jointed.turn_lidar({step: 0.02 * step for step in range(8, 14)})
    way = Way(jointed, deskew=True)
    cloud, points, steps = sweep(*span)
    way.process(10.5, cloud)
    (scan,) = way.segmenter.scans

    def pose_at(step):
        return base(step) @ MOUNT @ base(0, 0.02 * step)

    expected = stood_still(points, steps, pose_at, 10.5)
    assert np.abs(expected - points).max() > 0.5, "there is something to correct"
    np.testing.assert_allclose(scan.points, expected, atol=1e-3)
    np.testing.assert_allclose(scan.pose, pose_at(10.5), atol=1e-9)
    assert jointed.source.figures()["tf.found"] == 1


def test_deskewing_with_a_mount_by_parameter(tf_library):
    bench = Bench(fixed_mount=False, gives_sensor=False)
    bench.drive(10, 11, 12)
    way = Way(bench, FixedExtrinsics(MOUNT), deskew=True)
    cloud, points, steps = sweep(0.0, 1.0)
    way.process(10.5, cloud)
    (scan,) = way.segmenter.scans
    np.testing.assert_allclose(scan.points, points + np.outer(steps, [1, 0, 0]), atol=2e-5)


@pytest.mark.parametrize(
    ("span", "reason"), [((1.0, 2.0), "tf_timeout"), ((-1.0, 0.0), "tf_extrapolation")]
)
def test_transforms_must_cover_the_sweep(bench, span, reason):
    bench.drive(10, 11)
    way = Way(bench, deskew=True)
    with pytest.raises(DroppedScan, match="deskewing needs poses") as caught:
        way.process(10.5, sweep(*span)[0])
    assert caught.value.reason == reason
    assert "push" not in way.segmenter.calls


def test_the_end_of_the_sweep_is_not_waited_for(bench):
    bench.drive(10, 11)
    way = Way(bench, deskew=True, pose_timeout=30.0)
    cloud, points, steps = sweep(0.0, 1.0)
    way.process(10.5, cloud)
    (scan,) = way.segmenter.scans
    np.testing.assert_allclose(scan.points, points + np.outer(steps, [1, 0, 0]), atol=1e-3)
    assert bench.source.figures()["tf.timeouts"] == 0
