"""`kdmos simulate` end to end."""

import numpy as np
import pytest

from kdmos_ros.cli import main
from kdmos_ros.labels import from_semantickitti
from kdmos_ros.sim import DISTORTED, make_drive

pytest.importorskip("rosbags", reason="bags are written with rosbags")

OPTIONS = ["--sensor", "vlp16", "--duration", "1", "--rate", "5", "--seed", "3"]


def test_a_bag_reads_back_as_the_drive(tmp_path, capsys):
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.io.ground_truth import BagLabels

    assert main(["simulate", str(tmp_path / "bag"), *OPTIONS]) == 0
    assert "5 scans of vlp16" in capsys.readouterr().out
    drive = make_drive(3, "vlp16", duration_s=1.0, rate_hz=5.0)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.n_scans == 5
        np.testing.assert_allclose(bag.base_T_sensor, drive.base_T_sensor, atol=1e-9)
        clouds = list(bag.clouds())
    assert [c.stamp_ns for c in clouds] == drive.stamps_ns
    frame = drive[2]
    assert clouds[2].message.width == len(frame.labels)
    with BagLabels(tmp_path / "bag") as labels:
        raw = labels.read(2, drive.stamps_ns[2], len(frame.labels))
    np.testing.assert_array_equal(from_semantickitti(raw), frame.labels)
    np.testing.assert_array_equal(raw >> 16, frame.instance)


def test_a_distorted_bag_tells_the_time_of_each_point(tmp_path):
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.pointcloud.codec import decode
    from kdmos_ros.pointcloud.layout import read_layout
    from kdmos_ros.pointcloud.point_times import TimeFormat, read_point_times

    assert main(["simulate", str(tmp_path / "bag"), "--sweep-distortion", *OPTIONS]) == 0
    drive = make_drive(3, "vlp16", duration_s=1.0, rate_hz=5.0, sweep=DISTORTED)
    with BagReader(tmp_path / "bag") as bag:
        stamp, message = list(bag.clouds())[3]
    times = read_point_times(read_layout(message), decode(message).points, stamp, TimeFormat())
    np.testing.assert_array_equal(times.seconds, np.sort(drive[3].seconds))


def test_a_lidar_that_writes_no_times_and_whose_sweeps_begin_anywhere(tmp_path):
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.pointcloud.codec import decode
    from kdmos_ros.pointcloud.firing_order import turn_from_order

    how = ["--sweep-distortion", "--seam-drift", "100", "--no-times", "--height", "0.5"]
    assert main(["simulate", str(tmp_path / "bag"), *how, *OPTIONS]) == 0
    starts = []
    with BagReader(tmp_path / "bag") as bag:
        assert bag.base_T_sensor[2, 3] == 0.5
        for _, message in bag.clouds():
            assert "time" not in [field.name for field in message.fields]
            turn = turn_from_order(decode(message).points, 1, message.width, 0.1)
            starts.append(turn.start)
    steps = np.degrees(np.diff(np.unwrap(starts)))
    np.testing.assert_allclose(steps, 20.0, atol=3.0)


def test_a_lidar_that_looks_down(tmp_path):
    from kdmos_ros.io.bag_reader import BagReader

    how = ["--mount-rpy", "0 90 0", "--height", "1.2"]
    assert main(["simulate", str(tmp_path / "bag"), *how, *OPTIONS]) == 0
    with BagReader(tmp_path / "bag") as bag:
        ahead = bag.base_T_sensor[:3, 0]
    assert ahead[2] < -0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-times"], "need --sweep-distortion"),
        (["--seam-drift", "20"], "need --sweep-distortion"),
    ],
)
def test_what_only_distorted_sweeps_have(tmp_path, options, message, capsys):
    assert main(["simulate", str(tmp_path / "bag"), *options, *OPTIONS]) != 0
    assert message in capsys.readouterr().err


def test_a_semantickitti_folder_reads_back(tmp_path):
    from kdmos_ros.io.semantickitti import Sequence

    folder = tmp_path / "00"
    assert main(["simulate", str(folder), "--semantickitti", *OPTIONS]) == 0
    drive = make_drive(3, "vlp16", duration_s=1.0, rate_hz=5.0)
    sequence = Sequence(folder)
    assert len(sequence) == 5
    frame = drive[4]
    np.testing.assert_array_equal(sequence.scan(4).points, frame.scan.points)
    raw = sequence.labels(4, len(frame.labels))
    np.testing.assert_array_equal(from_semantickitti(raw), frame.labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sensor", "eye"], "no sensor 'eye'"),
        (["--scene", "moon"], "no scene 'moon'"),
        (["--duration", "inf"], "duration"),
        (["--rate", "0"], "rate"),
        (["--seed", "-1"], "whole number"),
    ],
)
def test_bad_options_leave_nothing_behind(tmp_path, capsys, options, message):
    try:
        status = main(["simulate", str(tmp_path / "bag"), *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith("kdmos: error: ") and message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept(tmp_path, capsys):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "mine").touch()
    assert main(["simulate", str(tmp_path / "bag"), *OPTIONS]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "bag" / "mine").exists()
