"""Points are moved to the stamp for the segmenter, and published as they came."""

import threading

import numpy as np
import pytest
from cloud_harness import make_cloud
from pipeline_harness import MOUNT, SECOND, Bench

from kdmos_ros.errors import CloudError, PoseError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pipeline.localization import DroppedScan
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
    from kdmos_ros.pointcloud.deskewing import _move
    from kdmos_ros.pointcloud.point_times import extent

    bench = Bench(deskew=True)
    compiled = len(_move.signatures), len(extent.signatures)
    assert min(compiled) >= 1
    bench.odometry(1.0, 1.3)
    bench.process(1.1, sweep(0.0, 0.1)[0])
    assert (len(_move.signatures), len(extent.signatures)) == compiled
