"""Poses from TF, with the real tf2_ros where it is installed and a stand-in with its rules."""

import sys
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import tf_stand_in
from pipeline_harness import Logger
from tf_harness import MOUNT, STEP, Bench, base

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros.pose_source_factory import PoseSourceFactory
from kdmos_ros.ros.tf_extrinsics import make_extrinsics
from kdmos_ros.ros.tf_listener import listen_to_tf
from kdmos_ros.throttled_log import ThrottledLog

LIMITS = {
    "base_frame": "base_link",
    "fixed_frame": "odom",
    "pose_history": 30.0,
    "pose_max_gap": 0.5,
    "pose_max_jump": 1.0,
}


@pytest.fixture
def bench(tf_library):
    return Bench()


@pytest.fixture
def jointed(tf_library):
    return Bench(fixed_mount=False)


def test_without_tf2_ros_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    parameters = {"pose_source": "tf", "base_to_lidar": ""}
    listener = listen_to_tf(None, parameters)
    with pytest.raises(KdmosError, match=r"tf needs tf2_ros.*pose_source"):
        PoseSourceFactory(listener, parameters, None, ThrottledLog(Logger())).make()


@pytest.mark.parametrize(
    ("pose_source", "base_to_lidar", "asks_tf"),
    [
        ("tf", "", True),
        ("tf", "0 0 2", True),
        ("odometry", "", True),
        ("kiss_icp", "", True),
        ("odometry", "0 0 2", False),
        ("auto", "0 0 2", True),
    ],
)
def test_poses_and_mount_share_one_listener(tf_library, pose_source, base_to_lidar, asks_tf):
    air = tf_stand_in.Air()
    listener = listen_to_tf(air, {"pose_source": pose_source, "base_to_lidar": base_to_lidar})
    assert (listener is not None) == asks_tf
    extrinsics = make_extrinsics(listener, base_to_lidar)
    parameters = {
        **LIMITS, "pose_source": "tf", "base_to_lidar": base_to_lidar,
        "base_frame": "base_link", "fixed_frame": "odom",
    }  # fmt: skip
    if pose_source == "tf":
        PoseSourceFactory(listener, parameters, None, ThrottledLog(Logger())).make()
    topics = sorted(topic for topic, _ in air.subscriptions)
    assert topics == (["/tf", "/tf_static"] if asks_tf else [])
    extrinsics.close()
    if listener is not None:
        listener.close()
    assert air.subscriptions == []


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
    pose, *_ = bench.ask(10.25)
    np.testing.assert_allclose(pose, base(10.25) @ MOUNT, atol=1e-12)


def test_a_transform_that_comes_late_is_waited_for(bench):
    bench.drive(10)
    timer = threading.Timer(0.05, lambda: bench.drive(11))
    timer.start()
    pose, *_ = bench.ask(10.5, timeout=30.0)
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
    pose, *_ = jointed.ask(10.5)
    np.testing.assert_allclose(pose, base(10.5) @ MOUNT @ base(0, 0.2), atol=1e-12)


@pytest.mark.parametrize("change", ["relocalised", "turned"])
def test_jumps_begin_a_generation_and_say_why(bench, change):
    bench.drive(*range(1, 10))
    first = [bench.ask(step)[1] for step in range(1, 10)][-1]
    for step in (10, 11):
        pose = base(step + 7.0) if change == "relocalised" else base(step, 0.5)
        bench.tf.set("odom", "base_link", step * STEP, pose)
    assert bench.ask(10)[1] > first
    assert "jumped" in bench.source.buffer.why and bench.logger.lines
    assert bench.source.figures()["tf.jumps"] == 1


def test_a_long_pause_begins_a_generation(bench):
    bench.drive(1, 50)
    first = bench.ask(1)[1]
    assert bench.ask(50)[1] > first
    assert "gap of 4.90 s" in bench.source.buffer.why


def test_time_set_back_forgets_the_transforms_but_not_the_mount(bench):
    bench.drive(1000, 1001)
    first = bench.ask(1000)[1]
    bench.source.rewind(5 * STEP)
    bench.drive(5, 6)
    pose, generation, _ = bench.ask(5.5)
    np.testing.assert_allclose(pose, base(5.5) @ MOUNT, atol=1e-12)
    assert generation > first


def test_deskewing_may_ask_for_stamps_within_the_sweep(bench):
    bench.drive(*range(12))
    bench.ask(10)
    for stamp in (10.5, 9.5):
        pose, generation, _ = bench.source.wait(round(stamp * STEP), 0.0)
        assert pose[0, 3] == pytest.approx(stamp + 0.5)
        assert generation == 0
    assert bench.source.figures()["tf.found"] == 1


def test_with_a_mount_by_parameter_tf_need_not_know_the_lidar(tf_library):
    bench = Bench(gives_sensor=False)
    bench.drive(10)
    pose, *_ = bench.ask(10, frame="no_such")
    np.testing.assert_allclose(pose, base(10), atol=1e-12)


def test_close_stops_listening(bench):
    assert {topic for topic, _ in bench.tf.subscriptions} == {"/tf", "/tf_static"}
    bench.listener.close()
    assert bench.tf.subscriptions == []


@pytest.mark.parametrize("off", [1, 100, 900_000])
def test_stamps_that_went_through_a_double_are_those_of_the_transforms(bench, off):
    bench.drive(1, 2, 3)
    np.testing.assert_allclose(bench.ask(3 + off / STEP).pose, base(3) @ MOUNT)
    first = bench.ask(1 - off / STEP).pose
    np.testing.assert_allclose(first, base(1) @ MOUNT, atol=0.01)
    assert bench.reason(3 + 1_100_000 / STEP) == "timeout"
    assert bench.reason(1 - 1_100_000 / STEP) == "extrapolation"


def test_mount_of_a_joint_next_to_the_stamp(jointed):
    jointed.drive(1, 2)
    jointed.turn_lidar({1: 0.0, 2: 0.5})
    mounts = make_extrinsics(jointed.listener, "")
    found = mounts.look_up("base_link", "lidar", 2 * STEP + 100, 0.0)
    np.testing.assert_allclose(found, MOUNT @ base(0, 0.5), atol=1e-12)
