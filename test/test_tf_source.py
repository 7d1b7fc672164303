"""Poses from TF, with the real tf2_ros where it is installed and a stand-in with its rules."""

import math
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import tf_stand_in
from clouds import make_cloud
from pipeline_bench import Logger, Recorder

from kdmos_ros.errors import KdmosError, PoseError
from kdmos_ros.geometry import from_pose, invert, make_transform, transform
from kdmos_ros.poses import PoseBuffer
from kdmos_ros.ros.cloud_reader import CLOUD_OPTIONS
from kdmos_ros.ros.extrinsics import ExtrinsicError, FixedExtrinsics, TfExtrinsics
from kdmos_ros.ros.pipeline import DroppedScan, Pipeline
from kdmos_ros.ros.pose_source import StampedCloud
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.tf_source import TfSource
from kdmos_ros.ros.throttle import ThrottledLog

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
        self.source = TfSource(
            self.tf, self.buffer, "base_link", "odom", ThrottledLog(self.logger, 0), **options
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


@pytest.fixture(params=["stand_in", "tf2_ros"])
def library(request, monkeypatch):
    if request.param == "stand_in":
        tf_stand_in.install(monkeypatch)
    else:
        pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")


@pytest.fixture
def bench(library):
    return Bench()


@pytest.fixture
def jointed(library):
    return Bench(fixed_mount=False)


def test_without_tf2_ros_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(KdmosError, match=r"tf needs tf2_ros.*pose_source"):
        TfSource(None, PoseBuffer(), "base_link", "odom", ThrottledLog(Logger()))


def test_reasons_of_missing_transforms(bench):
    assert bench.reason(1) == "unknown_frame"  # nobody spoke of odom
    bench.drive(10, 11)
    assert bench.reason(10, frame="no_such") == "unknown_frame"
    assert bench.reason(12) == "timeout"
    assert bench.reason(9) == "extrapolation"
    bench.tf.set_static("map", "camera", np.eye(4))
    assert bench.reason(10, frame="camera") == "not_connected"
    assert bench.source.figures()["tf.timeouts"] == 1


def test_a_quaternion_that_is_no_rotation_is_refused(bench):
    bench.drive(10)
    found = tf_stand_in.transform_message("odom", "lidar", 10 * STEP, base(10))
    found.transform.rotation.w = 0.0
    bench.source._tf.lookup_transform = lambda *_: found
    assert bench.reason(10) == "failed"


def test_what_is_too_old_is_not_waited_for(bench):
    bench.drive(10, 11)
    assert bench.reason(9, timeout=3600.0) == "extrapolation"


def test_a_cloud_without_a_stamp_does_not_get_the_newest_pose(bench):
    bench.drive(0, 10, 11)
    assert bench.reason(0, timeout=3600.0) == "no_stamp"


def test_pose_is_that_of_the_lidar_at_the_stamp(bench):
    bench.drive(10, 11)
    pose, _ = bench.ask(10.25)
    np.testing.assert_allclose(pose, base(10.25) @ MOUNT, atol=1e-12)


def test_a_transform_that_comes_late_is_waited_for(bench):
    bench.drive(10)
    timer = threading.Timer(0.05, lambda: bench.drive(11))
    timer.start()
    pose, _ = bench.ask(10.5, timeout=30.0)
    np.testing.assert_allclose(pose[0, 3], 11.0)


def test_interrupt_ends_waiting(bench):
    bench.drive(10)
    threading.Timer(0.05, bench.source.interrupt).start()
    assert bench.reason(11, timeout=3600.0) == "timeout"
    bench.source.resume()
    bench.drive(11)
    bench.ask(11)


def test_late_and_unordered_transforms_are_as_good(bench):
    bench.drive(10, 14, 12)
    np.testing.assert_allclose(bench.ask(13)[0][0, 3], 13.5)
    assert bench.buffer.generation == 0


def test_a_moving_joint_between_base_and_lidar_counts(jointed):
    jointed.drive(10, 11)
    jointed.turn_lidar({10: 0.0, 11: 0.4})
    pose, _ = jointed.ask(10.5)
    np.testing.assert_allclose(pose, base(10.5) @ MOUNT @ base(0, 0.2), atol=1e-12)


@pytest.mark.parametrize("change", ["relocalised", "turned"])
def test_jumps_begin_a_generation_and_say_why(bench, change):
    bench.drive(*range(1, 10))
    first = [bench.ask(step)[1] for step in range(1, 10)][-1]
    for step in (10, 11):
        pose = base(step + 7.0) if change == "relocalised" else base(step, 0.5)
        bench.tf.set("odom", "base_link", step * STEP, pose)
    assert bench.ask(10)[1] > first
    assert "jumped" in bench.source.why and bench.logger.lines
    assert bench.source.figures()["tf.jumps"] == 1


def test_a_long_pause_begins_a_generation(bench):
    bench.drive(1, 50)
    first = bench.ask(1)[1]
    assert bench.ask(50)[1] > first
    assert "gap of 4.90 s" in bench.source.why


def test_time_set_back_forgets_the_transforms_but_not_the_mount(bench):
    bench.drive(1000, 1001)
    first = bench.ask(1000)[1]
    bench.source.rewind(5 * STEP)
    bench.drive(5, 6)
    pose, generation = bench.ask(5.5)
    np.testing.assert_allclose(pose, base(5.5) @ MOUNT, atol=1e-12)
    assert generation > first


def test_deskewing_may_ask_for_stamps_within_the_sweep(bench):
    bench.drive(*range(12))
    bench.ask(10)
    for stamp in (10.5, 9.5):
        pose, generation = bench.source.wait(round(stamp * STEP), 0.0)
        assert pose[0, 3] == pytest.approx(stamp + 0.5)
        assert generation == 0
    assert bench.source.figures()["tf.found"] == 1


def test_with_a_mount_by_parameter_tf_need_not_know_the_lidar(library):
    bench = Bench(gives_sensor=False)
    bench.drive(10)
    pose, _ = bench.ask(10, frame="no_such")
    np.testing.assert_allclose(pose, base(10), atol=1e-12)


def test_close_stops_listening(bench):
    assert {topic for topic, _ in bench.tf.subscriptions} == {"/tf", "/tf_static"}
    bench.source.close()
    assert bench.tf.subscriptions == []


# -- in the pipeline -----------------------------------------------------------------------------


class Way:
    """A pipeline with poses and mount from TF."""

    def __init__(self, bench, extrinsics=None, **options):
        self.bench = bench
        self.extrinsics = extrinsics or TfExtrinsics(bench.tf)
        self.segmenter, self.statistics = Recorder(), Statistics()
        options = {"pose_timeout": 0.0, **CLOUD_OPTIONS, **options}
        self.pipeline = Pipeline(
            self.segmenter, bench.source, self.extrinsics, options, self.statistics,
            ThrottledLog(bench.logger, 0),
        )  # fmt: skip

    def process(self, step, cloud=None):
        cloud = cloud or make_cloud("plain_xyz")[0]
        return self.pipeline.process(cloud, round(step * STEP), "lidar")


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


def test_unknown_base_frame_is_an_unknown_mount(bench):
    bench.source.base_frame = "base_footprint"
    bench.drive(10)
    with pytest.raises(ExtrinsicError, match="base_footprint -> lidar"):
        Way(bench).process(10)


def test_relocalisation_in_tf_clears_the_history(bench):
    way = Way(bench)
    for step in range(1, 7):
        bench.drive(step, offset=7.0 if step > 4 else 0.0)
        way.process(step)
    assert way.segmenter.calls == ["set_mount", *["push"] * 4, "reset", "push", "push"]
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


def test_deskewing_with_a_mount_by_parameter(library):
    bench = Bench(fixed_mount=False, gives_sensor=False)
    bench.drive(10, 11, 12)
    way = Way(bench, FixedExtrinsics(MOUNT), deskew=True)
    cloud, points, steps = sweep(0.0, 1.0)
    way.process(10.5, cloud)
    (scan,) = way.segmenter.scans
    np.testing.assert_allclose(scan.points, points + np.outer(steps, [1, 0, 0]), atol=2e-5)


@pytest.mark.parametrize(
    ("span", "reason"), [((0.0, 1.0), "tf_timeout"), ((-1.0, 0.0), "tf_extrapolation")]
)
def test_transforms_must_cover_the_sweep(bench, span, reason):
    bench.drive(10, 11)
    way = Way(bench, deskew=True)
    with pytest.raises(DroppedScan, match="deskewing needs poses") as caught:
        way.process(10.5, sweep(*span)[0])
    assert caught.value.reason == reason
    assert "push" not in way.segmenter.calls


def test_the_end_of_the_sweep_is_waited_for(bench):
    bench.drive(10, 11)
    way = Way(bench, deskew=True, pose_timeout=30.0)
    timer = threading.Timer(0.05, lambda: bench.drive(12))
    timer.start()
    way.process(10.5, sweep(0.0, 1.0)[0])
    timer.join()
    assert way.segmenter.calls[-1] == "push"
