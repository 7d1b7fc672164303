"""Which clouds are dropped, and what the segmenter gets of the others."""

import numpy as np
import pytest
from cloud_harness import make_cloud
from pipeline_harness import MOUNT, SECOND, Bench

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.poses.extrinsics import UnknownExtrinsics


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
    assert bench.segmenter.calls == ["push", "push"]


def test_a_dropped_scan_does_not_count_for_the_order():
    bench = Bench()
    bench.odometry(1.0)
    assert bench.reason(5000) == "pose_timeout"
    bench.process(1.0)


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
    assert bench.segmenter.calls == ["push", "push"]
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
    assert "publish them in its frame" in bench.logger.lines[0]


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


def test_clouds_of_another_frame_leave_the_history_alone():
    bench = Bench()
    bench.odometry(*np.arange(1, 1.5, 0.1))
    for k in range(4):
        bench.process(1 + 0.1 * k)
        assert bench.reason(1.05 + 0.1 * k, frame="rear") == "other_frame"
    assert bench.segmenter.calls == ["push"] * 4
    # Its driver was started anew, under another name.
    bench.odometry(*np.arange(1.5, 7.3, 0.1))
    bench.process(7, frame="rear")
    assert bench.reason(7.1) == "other_frame"


def test_the_frame_that_was_asked_for():
    bench = Bench(cloud_frame="/rear")
    bench.odometry(1.0, 1.1)
    with pytest.raises(DroppedScan, match=r"'lidar', not 'rear'.*cloud_frame.*--frame"):
        bench.process(1.0)
    bench.process(1.1, frame="rear")
    assert bench.segmenter.calls == ["push"]


def test_an_odd_row_step_is_said_once_and_counted():
    bench = Bench()
    bench.odometry(1.0, 1.2)
    for stamp_s in (1.0, 1.1, 1.2):
        message = make_cloud("plain_xyz")[0]
        message.row_step = 0
        bench.process(stamp_s, message)
    (line,) = bench.logger.lines
    assert "row_step is 0" in line
    assert bench.statistics.snapshot().events["odd_row_step"] == 3
