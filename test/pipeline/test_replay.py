"""A recorded drive through the node's pipeline, offline."""

from types import SimpleNamespace

import numpy as np
import pytest
from drive_harness import MOUNT, STEP_NS, cloud, odometry, pose, stamp, write_bag, write_drive

from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labels import STATIC
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter


class Recorder:
    """Stands in for a Segmenter and notes what it is told."""

    def __init__(self):
        self.calls = []

    def reset(self):
        self.calls.append("reset")

    def push(self, scan):
        self.calls.append(scan)
        n = len(scan.points)
        return SimpleNamespace(
            labels=np.full(n, STATIC, np.uint8),
            moving_probability=np.zeros(n, np.float32),
            timings_ms={"bev": 1.0},
        )


def pushed(segmenter: Recorder) -> list:
    return [call for call in segmenter.calls if not isinstance(call, str)]


def run(path, limit=None):
    segmenter = Recorder()
    with BagReader(path, base_T_sensor=MOUNT) as bag:
        return list(replay(bag, OnlineSegmenter(segmenter), limit)), segmenter


def recorded(tmp_path, clouds, poses):
    """A bag of (time of recording, cloud) and (time, odometry)."""
    return write_bag(tmp_path / "bag", {"/p": (POINT_CLOUD, clouds), "/o": (ODOMETRY, poses)})


def test_every_scan_with_its_pose(tmp_path):
    scans, segmenter = run(write_drive(tmp_path / "bag", 5))
    assert [s.index for s in scans] == [0, 1, 2, 3, 4]
    assert [s.dropped for s in scans] == [""] * 5
    for i, (out, into) in enumerate(zip(scans, pushed(segmenter), strict=True)):
        assert out.stamp_ns == into.stamp_ns == stamp(i)
        np.testing.assert_allclose(into.pose, pose(i) @ MOUNT)
        assert out.n_points == len(out.labels) == 50
        assert set(out.timings_ms) == {"decode", "pose", "bev", "total"}
        np.testing.assert_array_equal(into.base_T_sensor, MOUNT)
    assert segmenter.calls[0] == "reset" and segmenter.calls.count("reset") == 1


def test_limit(tmp_path):
    assert len(run(write_drive(tmp_path / "bag", 5), limit=2)[0]) == 2


def test_pose_between_two_messages(tmp_path):
    poses = [(stamp(i), odometry(i)) for i in (0, 2, 4)]
    bag = recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(5)], poses)
    scans, segmenter = run(bag)
    assert [s.dropped for s in scans] == [""] * 5
    np.testing.assert_allclose(pushed(segmenter)[3].pose, pose(3) @ MOUNT)


@pytest.mark.parametrize(
    ("with_pose", "reasons"),
    [
        (range(1, 5), ["pose_too_old", "", "", "", ""]),
        (range(4), ["", "", "", "", "pose_timeout"]),
        ([0, 1, 2, 9], ["", "", "", "pose_gap", "pose_gap"]),
    ],
)
def test_no_pose_no_label(tmp_path, with_pose, reasons):
    poses = [(stamp(i), odometry(i)) for i in with_pose]
    bag = recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(5)], poses)
    scans, segmenter = run(bag)
    assert [s.dropped for s in scans] == reasons
    assert all((s.labels is None) == bool(s.dropped) for s in scans)
    assert len(pushed(segmenter)) == reasons.count("")


def test_repeated_stamp_is_dropped(tmp_path):
    clouds = [(stamp(0), cloud(0)), (stamp(1), cloud(1)), (stamp(2), cloud(1))]
    scans, _ = run(recorded(tmp_path, clouds, [(stamp(i), odometry(i)) for i in range(3)]))
    assert [s.dropped for s in scans] == ["", "", "repeated_stamp"]


def test_broken_cloud_is_dropped_and_the_rest_goes_on(tmp_path):
    broken = cloud(1)
    broken.point_step = 7
    clouds = [(stamp(i), broken if i == 1 else cloud(i)) for i in range(3)]
    scans, _ = run(recorded(tmp_path, clouds, [(stamp(i), odometry(i)) for i in range(3)]))
    assert [bool(s.dropped) for s in scans] == [False, True, False]


def test_restarted_bag_is_labelled_in_full_with_a_clear_history(tmp_path):
    order = [20, 21, 22, 23, 0, 1, 2, 3]
    clouds = [(stamp(k), cloud(i)) for k, i in enumerate(order)]
    poses = [(stamp(k), odometry(i)) for k, i in enumerate(order)]
    scans, segmenter = run(recorded(tmp_path, clouds, poses))
    assert [s.dropped for s in scans] == [""] * 8
    calls = [c if isinstance(c, str) else c.stamp_ns for c in segmenter.calls]
    assert "reset" in calls[calls.index(stamp(23)) : calls.index(stamp(0))]


def test_jump_of_the_odometry_clears_the_history(tmp_path):
    poses = [(stamp(i), odometry(i)) for i in range(8)]
    for i in range(4, 8):
        poses[i][1].pose.pose.position.y = 30.0
    bag = recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(8)], poses)
    _, segmenter = run(bag)
    assert segmenter.calls.count("reset") >= 2


def test_late_odometry_is_waited_for(tmp_path):
    """Odometry that is recorded after the cloud, as over a network."""
    clouds = [(stamp(i), cloud(i)) for i in range(4)]
    poses = [(stamp(i) + STEP_NS // 2, odometry(i)) for i in range(4)]
    scans, _ = run(recorded(tmp_path, clouds, poses))
    assert [s.dropped for s in scans] == [""] * 4


class Remembering(Recorder):
    """Labels by the number of scans of the last second that it knows."""

    def push(self, scan):
        result = super().push(scan)
        known = 0
        for call in self.calls:
            if isinstance(call, str):
                known = 0
            else:
                known += call.stamp_ns > scan.stamp_ns - 10**9
        result.labels[:] = known
        return result


@pytest.mark.parametrize("start", [0, 1, 7, 61, 69, 70, 99])
def test_a_late_start_gives_the_labels_of_a_whole_run(tmp_path, start):
    order = [*range(70), *range(20)]  # the bag starts anew at 70
    clouds = [(stamp(k), cloud(i)) for k, i in enumerate(order)]
    poses = [(stamp(k), odometry(i)) for k, i in enumerate(order) if k not in (30, 31, 65)]
    poses[60][1].pose.pose.position.y = 50.0  # a jump
    path = recorded(tmp_path, clouds, poses)
    with BagReader(path, base_T_sensor=MOUNT) as bag:
        whole = list(replay(bag, OnlineSegmenter(Remembering())))
        segmenter = Remembering()
        late = list(replay(bag, OnlineSegmenter(segmenter), start=start))
    assert len({int(s.labels[0]) for s in whole if s.labels is not None}) > 5
    assert len(pushed(segmenter)) <= 51 + max(0, 90 - start)
    for expected, found in zip(whole, late, strict=True):
        assert (found.index, found.stamp_ns, found.dropped) == (
            expected.index,
            expected.stamp_ns,
            expected.dropped,
        )
        assert found.skipped == (found.index < start)
        if found.skipped:
            assert found.labels is None
        elif not found.dropped:
            np.testing.assert_array_equal(found.labels, expected.labels)


def test_scans_come_with_what_was_pushed_and_when_they_were_recorded(tmp_path):
    clouds = [(stamp(i) + 5, cloud(i)) for i in range(3)]
    poses = [(stamp(i), odometry(i)) for i in range(2)]
    scans, segmenter = run(recorded(tmp_path, clouds, poses))
    assert [s.recorded_ns for s in scans] == [stamp(i) + 5 for i in range(3)]
    assert [s.scan for s in scans[:2]] == pushed(segmenter)
    assert scans[2].dropped and scans[2].scan is None


def test_clouds_are_read_as_the_bag_is_opened(tmp_path):
    """Deskewing needs poses around the whole sweep, so the first and last scan are lost."""
    from kdmos_ros.io.drive_bag import DriveWriter
    from kdmos_ros.sim import DISTORTED, make_drive

    drive = make_drive(
        5, "vlp16", duration_s=0.5, ego="driving", sweep=DISTORTED, odometry_noise=False
    )
    with DriveWriter(tmp_path / "bag", MOUNT) as writer:
        for frame in drive:
            writer.add(frame.scan, seconds=frame.seconds)
    segmenter = Recorder()
    with BagReader(tmp_path / "bag", cloud_options={"deskew": True, "max_range": 20.0}) as bag:
        scans = list(replay(bag, OnlineSegmenter(segmenter)))
    assert [s.dropped for s in scans] == ["pose_too_old", "", "", "", ""]
    raw, moved = drive[2].scan.points, pushed(segmenter)[1].points
    far = np.linalg.norm(raw, axis=1) > 20
    np.testing.assert_array_equal(np.isnan(moved).any(1), far)
    assert 0.1 < np.abs(moved - raw)[~far].max() < 1.0, "half a sweep at some m/s"


@pytest.mark.parametrize("off", [100, -100, 900_000])
def test_a_pose_next_to_the_stamp_is_that_of_the_scan(tmp_path, off):
    """Whichever side of the stamp it is: nothing is waited for, first and last scan included."""
    poses = [(stamp(i), odometry(i)) for i in range(4)]
    for _, message in poses:
        shifted = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec + off
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(shifted, 1_000_000_000)
    bag = recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(4)], poses)
    scans, segmenter = run(bag)
    assert [s.dropped for s in scans] == [""] * 4
    for i, scan in enumerate(pushed(segmenter)):
        np.testing.assert_allclose(scan.pose, pose(i) @ MOUNT, atol=2e-2)


def test_poses_of_the_lidar_itself_leave_its_height_open(tmp_path, caplog):
    """As in the node: level, at the model's height; the mount is not on the ground."""
    poses = [(stamp(i), odometry(i)) for i in range(3)]
    for _, message in poses:
        message.child_frame_id = "lidar"
    bag = recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(3)], poses)
    segmenter = Recorder()
    with BagReader(bag) as reader:
        list(replay(reader, OnlineSegmenter(segmenter)))
    for i, scan in enumerate(pushed(segmenter)):
        assert scan.base_T_sensor is None
        np.testing.assert_allclose(scan.pose, pose(i))
    assert caplog.text.count("whose height above the ground is unknown") == 1


def test_a_given_mount_does_not_move_poses_of_the_lidar_itself(tmp_path):
    poses = [(stamp(i), odometry(i)) for i in range(3)]
    for _, message in poses:
        message.child_frame_id = "lidar"
    _, segmenter = run(recorded(tmp_path, [(stamp(i), cloud(i)) for i in range(3)], poses))
    for i, scan in enumerate(pushed(segmenter)):
        np.testing.assert_array_equal(scan.base_T_sensor, MOUNT)
        np.testing.assert_allclose(scan.pose, pose(i))


@pytest.mark.parametrize("frame", ["lidar", "rear"])
def test_two_lidars_on_a_topic_are_told_apart(tmp_path, frame):
    clouds = [(stamp(i), cloud(i)) for i in range(8)]
    for _, message in clouds[1::2]:
        message.header.frame_id = "rear"
    path = recorded(tmp_path, clouds, [(stamp(i), odometry(i)) for i in range(8)])
    options = {"cloud_frame": frame} if frame == "rear" else {}
    with BagReader(path, base_T_sensor=MOUNT, cloud_options=options) as bag:
        assert bag.sensor_frame == frame
        scans = list(replay(bag, OnlineSegmenter(Recorder())))
    drops = ["", "other_frame"] if frame == "lidar" else ["other_frame", ""]
    assert [s.dropped for s in scans] == drops * 4
