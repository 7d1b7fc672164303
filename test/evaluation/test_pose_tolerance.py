"""The table of IoU against errors of the poses."""

import json
import sys

import numpy as np
import pytest
from cli_harness import ForwardSegmenter, failure
from drive_harness import MOUNT, cloud, stamp, write_bag
from kiss_harness import Library

from kdmos_ros import cli
from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.evaluation.pose_tolerance import cases
from kdmos_ros.evaluation.tolerance_table import measure, to_dict, to_markdown
from kdmos_ros.io.bag_file import POINT_CLOUD, TF
from kdmos_ros.io.bag_messages import transform_message
from kdmos_ros.labels import MOVING, STATIC


def report(tp, fn):
    result = Report("m", "p", scans=3)
    truth = np.full(tp + fn, 251, np.uint32)
    result.confusion.add(truth, np.repeat([MOVING, STATIC], [tp, fn]).astype(np.uint8))
    return result


def test_cases_start_with_the_poses_as_recorded_and_differ_in_one_thing():
    (name, first), *others = cases(seed=7)
    assert name == "as recorded"
    assert len({name for name, _ in others}) == len(others)
    for _, error in others:
        assert error.seed == 7
        changed = {k for k, v in error.__dict__.items() if v != getattr(first, k)}
        assert len(changed) == 1


def test_table_gives_points_lost_against_the_first_row():
    results = iter([report(8, 2), *[report(6, 4)] * 100])
    told = []
    rows = measure(cases(0), lambda error: next(results), told.append)
    assert told == rows
    lines = to_markdown(rows, "poses").splitlines()
    assert len(lines) == len(cases(0)) + 2
    assert "| 80.0 | +0.0 |" in lines[2]
    assert "| 60.0 | -20.0 |" in lines[3]
    assert to_dict(rows)[1]["noise_m"] == 0.01
    assert to_dict(rows)[1]["iou_moving"] == pytest.approx(0.6)


def test_table_of_a_bag_without_movers_has_no_figures():
    rows = measure(cases(0), lambda error: Report("m", "p"), lambda row: None)
    assert "n/a" in to_markdown(rows, "poses")


class Nearsighted(ForwardSegmenter):
    """Gets worse with the error of the pose, like a model."""

    def push(self, scan):
        result = super().push(scan)
        off = abs(scan.pose[1, 3])
        result.labels[: int(len(result.labels) * min(1.0, off * 20))] = STATIC
        return result


@pytest.fixture
def nearsighted(monkeypatch):
    for command in ("tolerance", "eval"):
        monkeypatch.setattr(
            f"kdmos_ros.commands.{command}.make_segmenter", lambda args: Nearsighted()
        )


def test_command_writes_the_table(drive, nearsighted, tmp_path, capsys):
    bag, labels = drive
    json_file, table = tmp_path / "t.json", tmp_path / "t.md"
    arguments = ["tolerance", bag, "--labels", labels, "--json", json_file, "--markdown", table]
    assert cli.main([str(a) for a in arguments]) == 0
    printed = capsys.readouterr().out
    assert printed == table.read_text()
    rows = json.loads(json_file.read_text())
    by_name = {row["name"]: row["iou_moving"] for row in rows}
    assert by_name["as recorded"] > by_name["noise 15 cm"]
    assert by_name["stamps 50 ms late"] is not None


def test_command_needs_labels(drive, nearsighted, tmp_path, capsys):
    bag, _ = drive
    table = tmp_path / "t.md"
    assert "no labels" in failure(capsys, "tolerance", bag, "--markdown", table)
    assert not table.exists()


# -- the same errors in `kdmos eval` -------------------------------------------------------------


def evaluated(drive, tmp_path, *options):
    bag, labels = drive
    out = tmp_path / "e.json"
    arguments = ["eval", bag, "--labels", labels, "--json", out, *options]
    assert cli.main([str(a) for a in arguments]) == 0
    return json.loads(out.read_text())


def test_eval_with_noise(drive, nearsighted, tmp_path):
    right = evaluated(drive, tmp_path)["iou_moving"]
    noise = evaluated(drive, tmp_path, "--pose-noise-m", "0.1", "--seed", "3")["iou_moving"]
    assert noise < right
    assert evaluated(drive, tmp_path, "--pose-noise-m", "0.1", "--seed", "3")["iou_moving"] == noise


def test_eval_with_late_stamps_loses_the_scan_before_the_first_pose(drive, nearsighted, tmp_path):
    found = evaluated(drive, tmp_path, "--stamp-offset-ms", "50")
    assert found["dropped"] == {"pose_too_old": 1}


@pytest.mark.parametrize("bad", ["-1", "nan", "inf", "much"])
def test_eval_refuses_sizes_that_are_none(drive, capsys, bad):
    assert "expected a number" in failure(capsys, "eval", drive[0], f"--pose-noise-m={bad}")


@pytest.mark.parametrize("bad", ["nan", "-inf", "soon"])
def test_eval_refuses_offsets_that_are_none(drive, capsys, bad):
    assert "expected a number" in failure(capsys, "eval", drive[0], f"--stamp-offset-ms={bad}")


@pytest.mark.parametrize(
    "option", ["--pose-noise-m=0.1", "--planar-odometry", "--pose-source=kiss_icp"]
)
def test_eval_of_simulated_drives_has_poses_of_its_own(capsys, option):
    assert "bags only" in failure(capsys, "eval", "sim:1", option)


def test_eval_has_no_odometry_to_spoil_with_kiss_icp(drive, nearsighted, capsys):
    bag, labels = drive
    arguments = ["eval", bag, "--labels", labels, "--pose-source", "kiss_icp"]
    assert "no odometry" in failure(
        capsys, *arguments, "--pose-noise-m", "0.1", "--base-to-lidar", "0,0,1.8"
    )


# -- poses from the clouds -----------------------------------------------------------------------


@pytest.fixture
def without_odometry(drive, tmp_path):
    """(bag, labels): the clouds of the drive and its mount, nothing else."""
    messages = [(stamp(i), cloud(i, 500)) for i in range(4)]
    mount = transform_message(stamp(0), "base_link", "lidar", MOUNT)
    topics = {"/points": (POINT_CLOUD, messages), "/tf_static": (TF, [(stamp(0), mount)])}
    labels = tmp_path / "truth"
    labels.mkdir()
    for i in range(4):
        np.full(500, 9 if i else 251, "<u4").tofile(labels / f"{i:06d}.label")
    return write_bag(tmp_path / "clouds", topics), labels


def test_bag_without_odometry_takes_poses_from_kiss_icp_unless_it_is_told_otherwise(
    without_odometry, nearsighted, monkeypatch, tmp_path, capsys
):
    bag, labels = without_odometry
    arguments = ["eval", bag, "--labels", labels, "--pose-source", "odometry"]
    assert "Odometry" in failure(capsys, *arguments)
    monkeypatch.setattr(
        "kdmos_ros.poses.recorded_poses.load_kiss_icp", lambda threads: lambda: Library([])
    )
    for option in ((), ("--pose-source", "kiss_icp")):
        found = evaluated(without_odometry, tmp_path, *option)
        assert (found["scans"], found["dropped"]) == (4, {})


def test_missing_kiss_icp_is_one_line(without_odometry, nearsighted, monkeypatch, capsys):
    bag, labels = without_odometry
    monkeypatch.setitem(sys.modules, "kiss_icp.kiss_icp", None)
    line = failure(capsys, "eval", bag, "--labels", labels, "--pose-source", "kiss_icp")
    assert "pip install kiss-icp" in line
