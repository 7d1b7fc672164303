"""Points are moved to the stamp for the segmenter, and published as they came."""

import numpy as np
import pytest
from cloud_harness import make_cloud
from pipeline_harness import MOUNT, SECOND, Bench

from kdmos_ros.errors import CloudError, PoseError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pointcloud.firing_order import Turn
from kdmos_ros.pointcloud.point_times import PointTimes
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.poses.recorded_poses import RecordedPoses


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
        ((0.15, 0.2), 1.15, "pose_timeout"),  # the sweep ends long after the newest pose
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


@pytest.mark.parametrize(("last", "continued"), [(1.1, 1), (1.17, 1), (1.2, 0), (1.3, 0)])
def test_the_newest_motion_is_continued_to_the_end_of_the_sweep(last, continued):
    bench = Bench(deskew=True, pose_timeout=60.0)  # nothing is waited for
    bench.odometry(1.0, 1.1, last)
    message, truth = sweep(0.0, 0.1)
    bench.process(1.1, message)
    (scan,) = bench.segmenter.scans
    points = np.stack([truth[name] for name in "xyz"], 1)
    shift = np.outer(truth["time"], [1, 0, 0]) @ MOUNT[:3, :3]
    np.testing.assert_allclose(scan.points, points + shift, atol=2e-5)
    assert bench.statistics.snapshot().events.get("pose_extrapolated", 0) == continued


def test_the_pose_at_the_stamp_is_never_extrapolated():
    bench = Bench()
    bench.options["deskew"] = "auto"
    bench.odometry(1.0, 1.1)
    with pytest.raises(DroppedScan) as caught:
        bench.process(1.11, sweep(-0.1, 0.0)[0])
    assert caught.value.reason == "pose_timeout"


def test_without_a_motion_there_is_nothing_to_continue():
    bench = Bench(deskew=True)
    bench.odometry(1.0)
    assert bench.reason(1.0, sweep(0.0, 0.1)[0]) == "pose_too_old"


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
    with pytest.raises(PoseError, match="two clocks"):
        poses.wait(9 * SECOND, 0.0)


def test_nothing_is_compiled_for_the_first_cloud():
    from kdmos_ros.pointcloud.deskewing import _move
    from kdmos_ros.pointcloud.point_times import extent

    bench = Bench(deskew=True)
    compiled = len(_move.signatures), len(extent.signatures)
    assert min(compiled) >= 1
    bench.odometry(1.0, 1.3)
    bench.process(1.1, sweep(0.0, 0.1)[0])
    assert (len(_move.signatures), len(extent.signatures)) == compiled


# -- auto ----------------------------------------------------------------------------------------


def labelled(bench, *stamped):
    """Whether each cloud was moved."""
    moved = []
    for stamp, (message, truth) in stamped:
        bench.process(stamp, message)
        points = np.stack([truth[name] for name in "xyz"], 1)
        moved.append(not np.allclose(bench.segmenter.scans[-1].points, points, atol=1e-4))
    return moved


def automatic():
    bench = Bench(deskew="auto", intensity_scale=255.0)
    bench.odometry(*np.arange(1.0, 3.0, 0.02))
    return bench


def test_auto_deskews_where_there_are_times():
    bench = automatic()
    stamps = 1.2, 1.3, 1.4
    assert labelled(bench, *((s, sweep(-0.1, 0.0)) for s in stamps)) == [True] * 3
    assert bench.pipeline.figures() == {"deskew": "on"}
    assert bench.logger.lines == []


@pytest.mark.parametrize(
    ("cloud", "why"),
    [
        (make_cloud("plain_xyz"), "no field t or time"),
        (make_cloud("velodyne", values={"time": np.zeros(50)}), "all points have the same 'time'"),
        (make_cloud("velodyne", values={"time": np.full(50, np.nan)}), "too short for a sweep"),
        (sweep(-1e-4, 0.0), "too short for a sweep"),
        (sweep(-0.3, 0.0), "too long for clouds that come every 100 ms"),
        (sweep(0.0, 5.0), "too long for a sweep"),
    ],
)
def test_auto_leaves_a_cloud_without_usable_times_as_it_came(cloud, why):
    bench = automatic()
    for stamp in 1.5, 1.6, 1.7:
        bench.process(stamp, sweep(-0.1, 0.0)[0])
    assert labelled(bench, *((s, cloud) for s in (1.8, 1.9, 2.0))) == [False] * 3
    line, reset = bench.logger.lines
    assert reset == "history cleared: clouds are not deskewed from now on"
    assert line.startswith("the clouds are not deskewed: ")
    assert why in line
    state = bench.pipeline.figures()["deskew"]
    assert state.startswith("off: ")
    assert why in state
    assert labelled(bench, (2.1, sweep(-0.1, 0.0))) == [True], "the next one is judged anew"


def test_auto_drops_no_cloud_whose_sweep_the_poses_do_not_cover():
    bench = Bench(deskew="auto", intensity_scale=255.0)
    bench.odometry(1.0, 1.1, 1.2)
    assert labelled(bench, (1.0, sweep(-0.1, 0.0)), (1.1, sweep(-0.1, 0.0))) == [False, True]
    assert bench.statistics.snapshot().events == {"not_deskewed": 1, "reset": 1}
    assert "deskewing needs poses" in bench.logger.lines[0]


def test_deskewed_and_distorted_scans_are_not_compared():
    bench = automatic()
    for stamp in 1.2, 1.3:
        bench.process(stamp, sweep(-0.1, 0.0)[0])
    bench.options["deskew"] = False
    for stamp in 1.4, 1.5:
        bench.process(stamp, sweep(-0.1, 0.0)[0])
    assert bench.segmenter.calls == ["push", "push", "reset", "push", "push"]
    assert bench.logger.lines == ["history cleared: clouds are not deskewed from now on"]


def test_a_sweep_is_as_long_as_most_clouds_are_apart():
    """Lost clouds make some steps longer."""
    bench = automatic()
    stamps = 1.2, 1.3, 1.6, 1.7, 1.8
    assert labelled(bench, *((s, sweep(-0.12, 0.0)) for s in stamps)) == [True] * 5


@pytest.mark.parametrize("helps", [True, False])
def test_times_from_the_order_of_points_are_not_looked_for_where_they_do_not_help(
    helps, monkeypatch
):
    class Judge:
        why, stamp, is_done, deskews = "measured", "", True, helps

        def __init__(self, *arguments):
            pass

        warm_up = staticmethod(lambda: None)

        def observe(self, *arguments):
            return False

        def corrected(self, times):
            return times

    looked = []
    monkeypatch.setattr("kdmos_ros.pipeline.deskewing.TimeJudge", Judge)

    def turn_from_order(points, height, width, period_s):
        looked.append(period_s)
        return Turn(PointTimes(np.zeros(len(points), np.float32), 0.0, 0.0), 0.0)

    monkeypatch.setattr("kdmos_ros.pipeline.deskewing.turn_from_order", turn_from_order)
    bench = Bench(deskew="auto")
    bench.odometry(*np.arange(0.0, 2.0, 0.1))
    for stamp in (0.5, 0.6, 0.7, 0.8):
        bench.process(stamp)
    assert len(looked) == (4 if helps else 1)


@pytest.mark.parametrize(("step", "moved"), [(0.3, [False, True, True]), (0.01, [False] * 3)])
def test_the_order_counts_at_once_where_sweeps_begin_elsewhere_each_time(step, moved, monkeypatch):
    """The scans so far are taken anew."""
    starts = iter(np.arange(8) * step)

    def turn_from_order(points, height, width, period_s):
        seconds = np.linspace(-0.05, 0.05, len(points), dtype=np.float32)
        return Turn(PointTimes(seconds, -0.05, 0.05), float(next(starts)))

    monkeypatch.setattr("kdmos_ros.pipeline.deskewing.turn_from_order", turn_from_order)
    bench = automatic()
    cloud = make_cloud("plain_xyz")
    assert labelled(bench, *((s, cloud) for s in (1.2, 1.3, 1.4))) == moved
    state = bench.pipeline.figures()["deskew"]
    assert state.startswith("on: the order of the points" if moved[-1] else "off: ")
