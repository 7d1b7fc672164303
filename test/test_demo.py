"""The demo: its parts, and the whole with the node as a process over DDS."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from drives import cloud, odometry, points, stamp, write_drive

pytest.importorskip("rosbags", reason="rosbags is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")

from kdmos_ros.cloud import append_label
from kdmos_ros.demo import node_process
from kdmos_ros.demo.node_process import NodeProcess, executable, isolate
from kdmos_ros.demo.summary import labelled_clouds, summarise
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import DIAGNOSTICS, POINT_CLOUD, BagFile, typestore
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.io.messages import header
from kdmos_ros.labels import MOVING, STATIC

TOPIC, STATUS = "/mos_node/labeled", "/diagnostics"


# The node's process


def python(tmp_path, monkeypatch, code: str) -> NodeProcess:
    """A process that runs some code in place of the node."""
    script = tmp_path / "stand_in.py"
    script.write_text(code)
    monkeypatch.setattr(node_process, "executable", lambda: script)
    return NodeProcess({}, {}, tmp_path / "node.log")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_executable_is_the_one_of_ros2_run():
    assert executable().name == "mos_node" and os.access(executable(), os.X_OK)


def test_isolated_from_other_systems():
    variables = isolate({})
    assert 1 <= int(variables["ROS_DOMAIN_ID"]) <= 101
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert "ROS_LOCALHOST_ONLY" not in variables
    assert isolate({"ROS_DISTRO": "humble"})["ROS_LOCALHOST_ONLY"] == "1"
    assert os.path.isfile(variables["FASTRTPS_DEFAULT_PROFILES_FILE"])
    own = isolate({"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"})
    assert own["FASTDDS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def test_a_node_that_ends_says_why(tmp_path, monkeypatch):
    code = "import sys; print('starting'); sys.exit('mos_node: error: no model')"
    with python(tmp_path, monkeypatch, code) as process:
        wait_for(lambda: process.ended is not None)
        with pytest.raises(KdmosError, match=r"status 1: mos_node: error: no model") as error:
            process.check()
    assert "node.log" in str(error.value)
    assert process.last_lines() == ["starting", "mos_node: error: no model"]


def test_a_stubborn_node_is_ended_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(node_process, "_STOP_S", 0.2)
    code = (
        "import os, signal, time\n"
        "for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(RuntimeError), python(tmp_path, monkeypatch, code) as process:
        wait_for(process.last_lines)
        number = int(process.last_lines()[0])
        os.kill(number, 0)
        process.check()
        raise RuntimeError
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_polite_node_is_asked_first(tmp_path, monkeypatch):
    code = (
        "import os, time\n"
        "try:\n    os.write(1, b'up\\n'); time.sleep(600)\n"  # a whole line at once
        "except KeyboardInterrupt:\n    print('bye', flush=True)\n"
    )
    with python(tmp_path, monkeypatch, code) as process:
        wait_for(process.last_lines)
    assert process.last_lines() == ["up", "bye"]


def test_arguments_of_the_node(tmp_path, monkeypatch):
    script = tmp_path / "arguments.py"
    script.write_text("import sys; print(*sys.argv[1:])")
    monkeypatch.setattr(node_process, "executable", lambda: script)
    with NodeProcess({"points": "/lidar"}, {"model": "m"}, tmp_path / "log") as process:
        wait_for(lambda: process.ended == 0)
    assert process.last_lines() == ["--ros-args -r points:=/lidar -p model:=m"]


# The summary


def labelled(index: int):
    """A labelled cloud as the node publishes it: what is in front moves."""
    message = cloud(index)
    moving = points(index)[:, 0] > 0
    packed = append_label(
        message, np.where(moving, MOVING, STATIC).astype(np.uint8), moving.astype(np.float32)
    )
    types = typestore().types
    return types[POINT_CLOUD](
        message.header,
        packed.height,
        packed.width,
        [
            types["sensor_msgs/msg/PointField"](f.name, f.offset, f.datatype, f.count)
            for f in packed.fields
        ],
        packed.is_bigendian,
        packed.point_step,
        packed.row_step,
        packed.data,
        packed.is_dense,
    )


def diagnostics(**values):
    types = typestore().types
    pairs = [
        types["diagnostic_msgs/msg/KeyValue"](key.replace("__", "."), str(value))
        for key, value in values.items()
    ]
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](0, "mos_node", "fine", "", pairs)
    return types[DIAGNOSTICS](header(0, ""), [status])


FINAL = {
    "received": 4,
    "labelled": 3,
    "model": "m",
    "provider": "CPU",
    "dropped": 1,
    "dropped__pose_timeout": 1,
    "latency_ms__bev__p50": 12.5,
    "latency_ms__bev__p90": 20.0,
}


@pytest.fixture
def recording(tmp_path):
    with BagWriter(tmp_path / "recording") as bag:
        bag.add_topic(TOPIC, POINT_CLOUD)
        bag.add_topic(STATUS, DIAGNOSTICS)
        early = {**FINAL, "received": 1, "labelled": 0}
        bag.write(STATUS, 500, diagnostics(**early))
        for i in range(3):
            bag.write(TOPIC, 1_000_000_000 * (i + 1), labelled(i))
        bag.write(STATUS, 4_000_000_000, diagnostics(**FINAL))
        bag.write(STATUS, 4_000_000_001, diagnostics(cpu="of another node"))
    return tmp_path / "recording"


class UpperHalfMoves:
    def read(self, index, stamp_ns, n_points):
        assert stamp_ns == stamp(index) and n_points == 50
        return np.where(points(index)[:, 2] > 0, 251, 9).astype(np.uint32)


def test_summary_is_what_was_recorded(recording):
    sent = {stamp(i): 1_000_000_000 * (i + 1) - 40_000_000 for i in range(4)}
    index_of = {stamp(i): i for i in range(4)}
    summary = summarise(recording, TOPIC, STATUS, sent, UpperHalfMoves(), index_of)
    assert (summary.played, summary.received, summary.labelled, summary.recorded) == (4, 4, 3, 3)
    assert summary.dropped == {"pose_timeout": 1}
    assert summary.latency_ms == {"bev": (12.5, 20.0)}
    assert summary.answer_ms["p50"] == pytest.approx(40.0)
    xyz = np.concatenate([points(i) for i in range(3)])
    called, moves = xyz[:, 0] > 0, xyz[:, 2] > 0
    expected = (called & moves).sum() / (called | moves).sum()
    assert summary.confusion.iou == pytest.approx(expected)
    text = summary.to_text()
    assert f"{expected:.3f}" in text and "dropped: pose_timeout" in text and "bev" in text
    assert json.loads(json.dumps(summary.to_dict()))["iou_moving"] == pytest.approx(expected)


def test_summary_without_labels(recording):
    summary = summarise(recording, TOPIC, STATUS, {}, None, {})
    assert summary.confusion is None and summary.to_dict()["iou_moving"] is None
    assert "IoU" not in summary.to_text()


def test_recorded_labels_come_back(recording):
    for i, (when, xyz, labels) in enumerate(labelled_clouds(recording, TOPIC)):
        assert when == stamp(i)
        np.testing.assert_array_equal(xyz, points(i))
        np.testing.assert_array_equal(labels == MOVING, points(i)[:, 0] > 0)


def test_stamp_of_serialised_messages():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from kdmos_ros.ros.demo_session import header_stamp

    data = typestore().serialize_cdr(odometry(7), "nav_msgs/msg/Odometry")
    assert header_stamp(data) == stamp(7)
    assert (
        header_stamp(b"\0\0\0\0" + (5).to_bytes(4, "big") + (6).to_bytes(4, "big")) == 5 * 10**9 + 6
    )


# The whole


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
@pytest.mark.slow
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
@pytest.mark.slow
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
@pytest.mark.slow
def test_demo_fails_honestly_when_nothing_can_be_labelled(tmp_path, tiny_model):
    """The odometry ends before the first cloud."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from drives import MOUNT, write_bag

    from kdmos_ros.io.bag_file import ODOMETRY, TF
    from kdmos_ros.io.messages import transform_message

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
@pytest.mark.slow
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
