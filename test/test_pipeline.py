import threading

import numpy as np
import pytest
from clouds import make_cloud

from kdmos_ros.errors import CloudError, PoseError
from kdmos_ros.geometry import from_pose, make_transform
from kdmos_ros.poses import PoseBuffer
from kdmos_ros.recorded_poses import RecordedPoses
from kdmos_ros.ros.cloud_reader import CLOUD_OPTIONS
from kdmos_ros.ros.extrinsics import ExtrinsicError, FixedExtrinsics, UnknownExtrinsics
from kdmos_ros.ros.pipeline import DroppedScan, Pipeline
from kdmos_ros.ros.pose_source import BufferedPoses, StampedCloud
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.throttle import ThrottledLog
from kdmos_ros.segmenter import Segmentation

SECOND = 1_000_000_000
MOUNT = from_pose([0.5, 0, 1.7], [0, 0, 0.1, 1])


class Recorder:
    """Stands in for the segmenter and notes what it is asked."""

    def __init__(self):
        self.calls = []
        self.scans = []

    def push(self, scan):
        self.calls.append("push")
        self.scans.append(scan)
        n = len(scan.points)
        return Segmentation(np.full(n, 3, np.uint8), np.ones(n, np.float32), scan.stamp_ns, {})

    def reset(self):
        self.calls.append("reset")

    def set_mount(self, mount):
        self.calls.append("set_mount")
        self.mount = mount


class Logger:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)

    error = warning


class Bench:
    def __init__(self, extrinsics=None, **options):
        self.options = {"pose_timeout": 0.0, **CLOUD_OPTIONS, "max_points": 1000, **options}
        self.segmenter, self.poses = Recorder(), PoseBuffer(max_jump_m=1.0)
        self.source = BufferedPoses(self.poses, "base_link")
        self.statistics, self.logger = Statistics(), Logger()
        self.pipeline = Pipeline(
            self.segmenter, self.source, extrinsics or FixedExtrinsics(MOUNT), self.options,
            self.statistics, ThrottledLog(self.logger, 0),
        )  # fmt: skip

    def odometry(self, *stamps_s, offset=0.0):
        for stamp in stamps_s:
            self.poses.add(round(stamp * SECOND), make_transform(np.eye(3), [stamp + offset, 0, 0]))

    def process(self, stamp_s, message=None):
        message = message or make_cloud("plain_xyz")[0]
        return self.pipeline.process(message, round(stamp_s * SECOND), "lidar")

    def reason(self, stamp_s, message=None):
        with pytest.raises((DroppedScan, CloudError, ExtrinsicError)) as caught:
            self.process(stamp_s, message)
        return caught.value.reason


# -- scans that are dropped ----------------------------------------------------------------------


def test_bad_clouds_never_reach_the_segmenter():
    bench = Bench()
    bench.odometry(1, 2)
    message, _ = make_cloud(width=5000)
    assert bench.reason(1, message) == "too_many_points"
    message, _ = make_cloud()
    message.data = message.data[:10]
    assert bench.reason(1, message) == "short_data"
    assert bench.segmenter.calls == []


def test_no_pose_no_label():
    bench = Bench()
    assert bench.reason(1) == "pose_timeout"
    bench.odometry(1.0, 1.1, 2.0)
    assert bench.reason(0.9) == "pose_too_old"
    assert bench.reason(1.5) == "pose_gap"
    assert bench.reason(2.1) == "pose_timeout"
    assert bench.segmenter.calls == []


def test_unknown_mount_no_label():
    bench = Bench(extrinsics=UnknownExtrinsics())
    bench.odometry(1)
    assert bench.reason(1) == "no_extrinsic"
    assert bench.segmenter.calls == []


def test_stamps_that_repeat_or_step_back_a_little():
    bench = Bench()
    bench.odometry(1.0, 1.1, 1.2)
    bench.process(1.1)
    assert bench.reason(1.1) == "repeated_stamp"
    assert bench.reason(1.0) == "out_of_order"
    bench.process(1.2)
    assert bench.segmenter.calls == ["set_mount", "push", "push"]


def test_a_dropped_scan_does_not_count_for_the_order():
    bench = Bench()
    bench.odometry(1.0)
    assert bench.reason(5000) == "pose_timeout"
    bench.process(1.0)


# -- what the segmenter gets ---------------------------------------------------------------------


def test_scan_has_the_pose_of_the_sensor_at_the_stamp():
    bench = Bench()
    bench.odometry(1.0, 1.2)
    message, truth = make_cloud()
    result = bench.process(1.1, message)
    (scan,) = bench.segmenter.scans
    np.testing.assert_allclose(scan.pose, make_transform(np.eye(3), [1.1, 0, 0]) @ MOUNT)
    np.testing.assert_array_equal(scan.points[:, 1], truth["y"])
    assert scan.stamp_ns == 1_100_000_000
    np.testing.assert_array_equal(bench.segmenter.mount, MOUNT)
    assert result.message is message
    assert {"decode", "pose"} <= set(result.timings_ms)


def test_odometry_of_the_lidar_itself_needs_no_mount():
    bench = Bench(extrinsics=UnknownExtrinsics())
    bench.source.base_frame = "lidar"
    bench.odometry(1.0)
    bench.process(1.0)
    assert bench.segmenter.calls == ["push"]
    np.testing.assert_array_equal(bench.segmenter.scans[0].pose, bench.poses.at(SECOND))


class Tree:
    """Stands in for TF: knows only base_link -> lidar."""

    def look_up(self, base, lidar, stamp_ns, timeout_s):
        if base == lidar:
            return None
        assert (base, lidar) == ("base_link", "lidar")
        return MOUNT


def test_odometry_of_the_lidar_itself_takes_height_and_tilt_from_the_base_frame():
    bench = Bench(extrinsics=Tree(), base_frame="base_link")
    bench.source.base_frame = "lidar"
    bench.odometry(1.0, 1.1)
    bench.process(1.0)
    bench.process(1.1)
    assert bench.segmenter.calls == ["set_mount", "push", "push"]
    np.testing.assert_array_equal(bench.segmenter.mount, MOUNT)
    np.testing.assert_array_equal(bench.segmenter.scans[0].pose, bench.poses.at(SECOND))


def test_unknown_height_of_the_lidar_is_said_but_costs_no_scan():
    bench = Bench(extrinsics=UnknownExtrinsics(), base_frame="base_link")
    bench.source.base_frame = "lidar"
    bench.odometry(1.0)
    bench.process(1.0)
    assert bench.segmenter.calls == ["push"]
    assert "height" in bench.logger.lines[0]


def test_clouds_in_the_base_frame_are_pointed_out():
    bench = Bench(extrinsics=UnknownExtrinsics(), base_frame="lidar")
    bench.source.base_frame = "lidar"
    bench.odometry(1.0)
    bench.process(1.0)
    assert bench.segmenter.calls == ["push"]
    assert "own frame" in bench.logger.lines[0]


@pytest.mark.parametrize("layout", ["kitti", "plain_xyz", "ouster_organised"])
def test_empty_and_blind_clouds_are_answered_without_a_pose(layout):
    bench = Bench()
    empty, _ = make_cloud(layout, width=0)
    assert len(bench.process(1, empty).labels) == 0
    n = make_cloud(layout)[1]["x"].size
    blind, _ = make_cloud(layout, values={"y": np.full(n, np.nan)})
    result = bench.process(1, blind)
    assert len(result.labels) == n
    assert not result.labels.any()
    assert not result.moving_probability.any()
    assert bench.segmenter.calls == []
    assert bench.statistics.snapshot().events == {"empty_cloud": 1, "no_finite_point": 1}
    assert len(bench.logger.lines) == 2


def test_options_are_read_anew_for_every_scan():
    bench = Bench()
    bench.odometry(1.0, 1.1)
    message, _ = make_cloud("autoware_xyzirc")
    bench.process(1.0, message)
    bench.options["intensity_scale"] = 1e5
    bench.process(1.1, message)
    first, second = bench.segmenter.scans
    assert first.intensity.max() > 0.5
    assert second.intensity.max() < 0.01


def test_saturated_intensity_is_reported_with_the_remedy():
    bench = Bench()
    bench.odometry(1.0)
    message, _ = make_cloud(values={"intensity": np.full(50, 100.0)})
    bench.process(1.0, message)
    assert "intensity_scale" in bench.logger.lines[0]
    assert bench.statistics.snapshot().events == {"intensity_saturated": 1}


# -- history -------------------------------------------------------------------------------------


def test_time_far_back_starts_afresh():
    bench = Bench()
    bench.odometry(100.0, 100.1)
    bench.process(100.1)
    assert bench.reason(10.0) == "pose_timeout"  # poses of the old time are of no use
    assert len(bench.poses) == 0
    bench.odometry(10.0, 10.1)
    bench.process(10.1)
    assert bench.segmenter.calls == ["set_mount", "push", "reset", "push"]


def test_poses_of_the_new_time_survive_if_they_came_first():
    bench = Bench()
    bench.odometry(100.0, 100.1)
    bench.process(100.1)
    bench.odometry(10.0)
    bench.process(10.0)
    assert bench.segmenter.calls == ["set_mount", "push", "reset", "push"]


def test_long_silence_starts_afresh():
    bench = Bench()
    bench.odometry(1.0)
    bench.process(1.0)
    bench.odometry(20.0)
    bench.process(20.0)
    assert bench.segmenter.calls == ["set_mount", "push", "reset", "push"]


def test_jump_of_the_odometry_starts_afresh():
    bench = Bench()
    bench.odometry(1.0, 1.1, 1.2)
    bench.process(1.1)
    bench.process(1.2)
    bench.odometry(1.3, 1.4, offset=7.0)
    bench.process(1.35)
    assert bench.segmenter.calls == ["set_mount", "push", "push", "reset", "push"]
    assert "jumped" in bench.logger.lines[0]


def test_reset_on_request():
    bench = Bench()
    bench.odometry(1.0, 1.1)
    bench.process(1.1)
    bench.pipeline.request_reset()
    bench.process(1.0)  # even an older scan: there is no history to be older than
    assert bench.segmenter.calls == ["set_mount", "push", "reset", "push"]
    assert bench.statistics.snapshot().events == {"reset": 1}


def test_another_segmenter_takes_over_from_an_empty_history():
    bench = Bench()
    bench.odometry(1.0, 1.1)
    first = bench.process(1.0)
    other = Recorder()
    bench.pipeline.replace(other)
    second = bench.process(1.1)
    assert bench.segmenter.calls == ["set_mount", "push"]
    assert other.calls == ["reset", "set_mount", "push"]
    np.testing.assert_array_equal(other.mount, MOUNT)
    assert second.epoch != first.epoch
    assert second.scan is other.scans[0]


def test_another_segmenter_waits_for_the_scan_in_work():
    bench = Bench(pose_timeout=60.0)
    done = []
    scan = threading.Thread(target=lambda: done.append(bench.process(1.0)))
    scan.start()
    change = threading.Thread(target=bench.pipeline.replace, args=(Recorder(),))
    while not bench.pipeline._busy.locked():
        pass
    change.start()
    assert bench.segmenter.calls == []
    bench.odometry(1.0)
    scan.join()
    change.join()
    assert len(done) == 1
    assert bench.segmenter.calls == ["set_mount", "push"]


# -- deskewing -----------------------------------------------------------------------------------


def sweep(first, last, n=50):
    """A cloud whose points were taken between two times after its stamp."""
    return make_cloud("velodyne", width=n, values={"time": np.linspace(first, last, n)})


@pytest.mark.parametrize("span", [(-0.1, 0.0), (0.0, 0.1), (-0.05, 0.05)])
def test_points_are_moved_to_the_stamp_and_published_as_they_came(span):
    bench = Bench(deskew=True)
    bench.odometry(*np.arange(1.0, 1.5, 0.02))  # 1 m/s along x
    message, truth = sweep(*span)
    before = bytes(message.data)
    result = bench.process(1.2, message)
    (scan,) = bench.segmenter.scans
    points = np.stack([truth[name] for name in "xyz"], 1)
    # What was seen a while after the stamp is farther ahead at the stamp, along the base's x.
    shift = np.outer(truth["time"], [1, 0, 0]) @ MOUNT[:3, :3]
    np.testing.assert_allclose(scan.points, points + shift, atol=2e-5)
    np.testing.assert_allclose(scan.pose, make_transform(np.eye(3), [1.2, 0, 0]) @ MOUNT)
    assert result.message is message
    assert message.data == before
    assert "deskew" in result.timings_ms


def test_poses_of_the_lidar_itself_deskew_without_a_mount():
    bench = Bench(deskew=True)
    bench.source.gives_sensor = True
    bench.odometry(1.0, 1.2, 1.4)
    message, truth = sweep(0.0, 0.1)
    bench.process(1.2, message)
    (scan,) = bench.segmenter.scans
    np.testing.assert_allclose(scan.points[:, 0], truth["x"] + truth["time"], atol=2e-5)


def test_without_times_nothing_is_labelled_and_the_field_is_named():
    bench = Bench(deskew=True, time_field="stamp")
    bench.odometry(1.0, 1.1)
    with pytest.raises(CloudError, match="no field stamp") as caught:
        bench.process(1.0)
    assert caught.value.reason == "no_point_time"
    assert bench.segmenter.calls == []
    bench.options["deskew"] = False
    bench.process(1.0)


@pytest.mark.parametrize(
    ("span", "stamp", "reason"),
    [
        ((0.0, 0.1), 1.15, "pose_timeout"),  # the sweep ends after the newest pose
        ((-0.1, 0.0), 1.05, "pose_too_old"),  # and begins before the oldest one
    ],
)
def test_poses_must_cover_the_sweep(span, stamp, reason):
    bench = Bench(deskew=True)
    bench.odometry(1.0, 1.1, 1.2)
    message, _ = sweep(*span)
    with pytest.raises(DroppedScan, match="deskewing needs poses") as caught:
        bench.process(stamp, message)
    assert caught.value.reason == reason
    assert "push" not in bench.segmenter.calls
    bench.odometry(1.3)
    bench.process(1.15, sweep(-0.05, 0.1)[0])
    assert "push" in bench.segmenter.calls, "the next one is fine"


def test_poses_of_the_rest_of_the_sweep_are_waited_for():
    bench = Bench(deskew=True, pose_timeout=60.0)
    bench.odometry(1.0, 1.1)
    late = threading.Timer(0.05, lambda: bench.odometry(1.2, 1.3))
    late.start()
    bench.process(1.1, sweep(0.0, 0.1)[0])
    late.join()
    assert bench.segmenter.calls[-1] == "push"


def test_points_of_no_known_time_are_left_out():
    bench = Bench(deskew=True)
    bench.odometry(1.0, 1.3)
    time = np.linspace(0, 0.1, 50)
    time[7] = np.nan
    message, _ = make_cloud("velodyne", values={"time": time})
    bench.process(1.1, message)
    (scan,) = bench.segmenter.scans
    assert np.flatnonzero(np.isnan(scan.points).any(1)).tolist() == [7]


def test_a_jump_within_the_sweep_is_no_motion():
    bench = Bench(deskew=True)
    bench.odometry(1.0, 1.1, 1.2)
    bench.odometry(1.25, 1.3, 1.4, offset=7.0)
    with pytest.raises(DroppedScan) as caught:
        bench.process(1.3, sweep(-0.2, 0.0)[0])
    assert caught.value.reason == "pose_too_old"  # the poses before the jump are forgotten
    bench.process(1.38, sweep(-0.1, 0.0)[0])


def test_recorded_poses_reach_the_end_of_the_sweep():
    recorded = [(i * SECOND // 5, make_transform(np.eye(3), [i, 0, 0])) for i in range(6)]
    poses = RecordedPoses(recorded, "base_link")
    poses.observe(StampedCloud(SECOND // 5, "lidar", np.zeros((0, 3), np.float32)))
    assert poses.wait(SECOND // 2, 0.0)[0][0, 3] == pytest.approx(2.5)
    with pytest.raises(PoseError, match="within"):
        poses.wait(9 * SECOND, 0.0)


def test_nothing_is_compiled_for_the_first_cloud():
    from kdmos_ros.deskew import _move
    from kdmos_ros.point_time import extent

    bench = Bench(deskew=True)
    compiled = len(_move.signatures), len(extent.signatures)
    assert min(compiled) >= 1
    bench.odometry(1.0, 1.3)
    bench.process(1.1, sweep(0.0, 0.1)[0])
    assert (len(_move.signatures), len(extent.signatures)) == compiled
