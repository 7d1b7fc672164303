"""`kdmos label --offline` and `kdmos eval --offline` as a user runs them."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_harness import failure
from drive_harness import MOUNT, cloud, odometry, points, stamp, write_bag, write_drive
from tiny_teacher_harness import make_tiny_teacher

from kdmos_ros import cli
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, TF
from kdmos_ros.io.bag_messages import transform_message
from kdmos_ros.labelling import parts

pytest.importorskip("torch", reason="training needs torch")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_tiny_teacher(tmp_path_factory.mktemp("teacher") / "tiny_teacher")


@pytest.fixture
def options(tiny_model, teacher):
    return ["--offline", "--model", tiny_model, "--teacher", teacher, "--threads", "1"]


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def labels_of(folder):
    return [path.read_bytes() for path in sorted(folder.glob("*.label"))]


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@pytest.mark.slow
def test_eval_scores_what_label_writes(capsys, options, tmp_path):
    bag, labels = write_drive(tmp_path / "bag", 12), tmp_path / "labels"
    assert run("label", bag, "--semantickitti", labels, *options) == 0
    assert re.search(r"12 of 12 scans labelled, [\d.]+ scans/s", capsys.readouterr().out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "labels"]
    assert run("eval", bag, "--labels", labels, *options, "--json", "e.json") == 0
    with open("e.json") as file:
        figures = json.load(file)
    assert figures["iou_moving"] == 1.0 and figures["scans"] == 12
    assert figures["model"] == "tiny_teacher with tiny"


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--jobs", "2"], ["--cluster", "dask"]])
def test_shards_give_the_labels_of_one_process(options, tmp_path, how):
    if "dask" in how:
        pytest.importorskip("distributed", reason="Dask is not installed")
    n = 3 * parts.CLOUDS + 7
    bag = write_drive(tmp_path / "bag", n)
    assert run("label", bag, "--semantickitti", tmp_path / "one", *options) == 0
    shards = ["--shard-parts", "1", *how]
    assert run("label", bag, "--semantickitti", tmp_path / "many", *options, *shards) == 0
    assert labels_of(tmp_path / "one") == labels_of(tmp_path / "many")
    assert len(labels_of(tmp_path / "one")) == n
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "many", "one"]


@pytest.mark.slow
def test_stopped_by_a_signal_and_taken_up(capsys, options, tmp_path):
    bag = write_drive(tmp_path / "bag", 4 * parts.CLOUDS)
    arguments = ["label", bag, tmp_path / "out", *options]
    command = [sys.executable, "-m", "kdmos_ros.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "out.parts" / "000000.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "of 4 parts" in err and "--resume continues" in err
    assert "--resume" in failure(capsys, *arguments)
    assert run(*arguments, "--resume") == 0
    assert "200 of 200 scans labelled" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "out"]


def test_bad_input_is_one_line(capsys, options, tmp_path):
    bag = write_drive(tmp_path / "bag", 2)
    assert "leave out --lookahead" in failure(capsys, "label", bag, *options, "--lookahead", "2")
    assert "need --offline" in failure(capsys, "label", bag, "--teacher", "x")
    assert "no such bag" in failure(capsys, "label", tmp_path / "none", *options)
    assert "no teacher 'x'" in failure(capsys, "label", bag, *options, "--teacher", "x")
    assert "no topic /no" in failure(capsys, "label", bag, *options, "--odom", "/no")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag"]


@pytest.mark.slow
def test_a_recording_shorter_than_the_window_is_labelled(capsys, options, tmp_path):
    bag = write_drive(tmp_path / "bag", 1)
    assert run("label", bag, "--semantickitti", tmp_path / "labels", *options) == 0
    (raw,) = labels_of(tmp_path / "labels")
    found = np.frombuffer(raw, "<u4")
    assert len(found) == len(points(0)) and not (found == 251).any()


def topics(indices, lidars=("/points",), poses=True):
    """What `write_bag` makes a drive of."""
    clouds = [(stamp(i), cloud(i)) for i in indices]
    made = dict.fromkeys(lidars, (POINT_CLOUD, clouds))
    mount = transform_message(0, "base_link", "lidar", MOUNT)
    made["/tf_static"] = (TF, [(stamp(indices[0]), mount)])
    if poses:
        made["/odom"] = (ODOMETRY, [(stamp(i), odometry(i)) for i in indices])
    return made


@pytest.mark.slow
def test_what_comes_after_a_gap_is_a_recording_of_its_own(capsys, options, tmp_path):
    """Eight seconds without clouds and odometry."""
    before, after = list(range(6)), list(range(86, 93))
    for name, indices in {"both": before + after, "one": before, "two": after}.items():
        bag = write_bag(tmp_path / name, topics(indices))
        assert run("label", bag, "--semantickitti", tmp_path / f"{name}_labels", *options) == 0
    assert "13 of 13 scans labelled" in capsys.readouterr().out
    parts_of = [labels_of(tmp_path / f"{name}_labels") for name in ("one", "two")]
    assert labels_of(tmp_path / "both_labels") == parts_of[0] + parts_of[1]


@pytest.mark.slow
def test_scans_without_a_pose_are_left_out_and_counted(capsys, options, tmp_path):
    made = topics(range(12))
    made["/odom"] = (ODOMETRY, [(t, m) for t, m in made["/odom"][1] if t >= stamp(4)])
    bag = write_bag(tmp_path / "bag", made)
    assert run("label", bag, "--semantickitti", tmp_path / "labels", *options) == 0
    out = capsys.readouterr().out
    assert "8 of 12 scans labelled" in out and "not labelled: 4 pose_too_old" in out


def test_a_bag_without_poses_and_one_of_two_lidars_are_one_line(capsys, options, tmp_path):
    bare = write_bag(tmp_path / "bare", topics(range(3), poses=False))
    message = failure(capsys, "label", bare, *options, "--pose-source", "odometry")
    assert "no nav_msgs/msg/Odometry topic; the bag has /points" in message
    two = write_bag(tmp_path / "two", topics(range(3), lidars=("/front", "/rear")))
    message = failure(capsys, "label", two, *options)
    assert "/front" in message and "/rear" in message and "--cloud" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare", "two"]


@pytest.mark.slow
def test_one_of_two_lidars_is_labelled(options, tmp_path):
    two = write_bag(tmp_path / "two", topics(range(4), lidars=("/front", "/rear")))
    labels = tmp_path / "labels"
    assert run("label", two, "--cloud", "/rear", "--semantickitti", labels, *options) == 0
    assert len(labels_of(labels)) == 4
