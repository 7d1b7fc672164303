"""The demo as a user runs it: the node as a process over DDS."""

import json
import signal
import subprocess
import sys

import pytest
from drive_harness import cloud, drive_topics, odometry, stamp, write_bag, write_drive

pytest.importorskip("rosbags", reason="rosbags is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")

from kdmos_ros.io.bag_file import POINT_CLOUD, BagFile

pytestmark = pytest.mark.slow

TOPIC, STATUS = "/mos_node/labeled", "/diagnostics"


def demo(*arguments, timeout=400) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "kdmos_ros.cli", "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def nobody_is_left(out) -> bool:
    """No process of this demo lives on."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return str(out) not in listed


@pytest.mark.ros
def test_demo_on_a_simulated_drive(tmp_path, tiny_model):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    out = tmp_path / "out"
    done = demo("--out", out, "--model", tiny_model, "--seconds", 3, "--sensor", "vlp16")
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["played"] == 30 and 0 < summary["recorded"] <= summary["labelled"]
    assert summary["received"] == summary["labelled"] + sum(summary["dropped"].values())
    assert summary["model"] == "tiny" and "bev" in summary["stages_ms"]
    assert summary["iou_moving"] is not None
    for name in ("scans played", "moving IoU", "latency"):
        assert name in done.stdout
    from PIL import Image

    for name in ("overview.png", "animation.gif"):
        with Image.open(out / name) as picture:
            picture.load()
    with BagFile(out / "labeled") as bag:
        counts = {t.name: t.count for t in bag.topics}
    assert counts[TOPIC] == summary["recorded"] and counts["/tf_static"] == 1 and counts["/odom"]
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
    assert nobody_is_left(tiny_model)


@pytest.mark.ros
def test_demo_on_a_bag_without_labels_overwrites_its_last_output(tmp_path, tiny_model):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    bag = write_drive(tmp_path / "bag", n_scans=15, n_points=2000)
    for _ in range(2):
        done = demo(bag, "--out", tmp_path / "out", "--model", tiny_model, "--seconds", 1)
        assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["played"] == 10 and summary["iou_moving"] is None
    assert "IoU" not in done.stdout


@pytest.mark.ros
def test_demo_fails_honestly_when_nothing_can_be_labelled(tmp_path, tiny_model):
    """The odometry ends before the first cloud."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from drive_harness import MOUNT, write_bag

    from kdmos_ros.io.bag_file import ODOMETRY, TF
    from kdmos_ros.io.bag_messages import transform_message

    mount = transform_message(0, "base_link", "lidar", MOUNT)
    bag = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(10, 15)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(5)]),
            "/tf_static": (TF, [(stamp(0), mount)]),
        },
    )
    old = tmp_path / "out" / "overview.png"
    old.parent.mkdir()
    old.write_bytes(b"old")
    done = demo(bag, "--out", tmp_path / "out", "--model", tiny_model)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kdmos: error: the node labelled no scan ("), done.stderr
    assert "pose_timeout" in last
    assert "Traceback" not in done.stderr
    assert not old.exists(), "a picture of an earlier run would mislead"
    assert nobody_is_left(tiny_model)


@pytest.mark.ros
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ended_demo_leaves_no_process_and_no_half_bag(tmp_path, tiny_model, number, status):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    bag = write_drive(tmp_path / "bag", n_scans=600, n_points=500)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "kdmos_ros.cli", "demo", bag, "--out", out, "--model", tiny_model],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "playing" in line:
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors, errors
    assert [p.name for p in out.iterdir()] == ["node.log"]
    assert nobody_is_left(tiny_model)


def test_a_bag_without_odometry_is_told_what_shows_it(tmp_path, capsys):
    pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")
    from kdmos_ros import cli

    topics = drive_topics()
    del topics["/odom"]
    bag = write_bag(tmp_path / "bag", topics)
    status = cli.main(["demo", str(bag), "--out", str(tmp_path / "out")])
    assert status == 2 and "kdmos label" in capsys.readouterr().err


def test_wrong_use_of_the_demo(tmp_path, capsys):
    from kdmos_ros import cli

    for arguments, text in (
        (["--model", "no_such_model"], "no_such_model"),
        (["--seconds", "0"], "above 0"),
        ([str(tmp_path / "nothing"), "--model", str(tmp_path)], "model"),
    ):
        try:
            status = cli.main(["demo", "--out", str(tmp_path / "out"), *arguments])
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        assert status == 2 and len(captured.err.splitlines()) == 1 and text in captured.err
    assert not (tmp_path / "out").exists()
