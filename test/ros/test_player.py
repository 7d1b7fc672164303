"""Player and recorder together over real DDS: what was in the bag is in the new bag."""

import subprocess
import sys
import threading
import time

import pytest
from drive_harness import START_NS, STEP_NS, stamp, write_bag, write_drive

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from ros_harness import PATIENCE_S, environment  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

from kdmos_ros.cli import make_parser  # noqa: E402
from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, BagError, BagFile  # noqa: E402
from kdmos_ros.io.bag_writer import BagWriter  # noqa: E402
from kdmos_ros.poses.pose_messages import stamp_ns  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402
from kdmos_ros.ros.player import Player, message_class  # noqa: E402
from kdmos_ros.ros.qos import profile  # noqa: E402
from kdmos_ros.ros.recorder import Recorder  # noqa: E402


@pytest.fixture(autouse=True)
def ros():
    rclpy.init()
    yield
    try_shutdown()


@pytest.fixture
def node():
    node = rclpy.create_node("bench")
    yield node
    node.destroy_node()


@pytest.fixture
def drive(tmp_path):
    return write_drive(tmp_path / "drive")


def spin_until(node, condition):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)


def contents(path, topic):
    with BagFile(path) as bag:
        return [bytes(raw.data) for raw in bag.messages([topic])]


# -- what cannot be played -----------------------------------------------------------------------


def test_topic_that_is_not_in_the_bag(node, drive):
    with BagFile(drive) as bag, pytest.raises(BagError, match=r"no topic /scan.*/points"):
        Player(node, bag, topics=["scan"])


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_rate_must_be_positive(node, drive, rate):
    with BagFile(drive) as bag, pytest.raises(KdmosError, match="rate"):
        Player(node, bag, rate=rate)


def test_types_that_are_not_installed_are_left_out_and_counted(node, drive, monkeypatch):
    monkeypatch.setattr(
        "kdmos_ros.ros.player.message_class",
        lambda name: None if name == ODOMETRY else message_class(name),
    )
    with BagFile(drive) as bag:
        player = Player(node, bag)
        assert player.left_out["/odom"] == 5
        assert "/points" in player.topics
        with pytest.raises(BagError, match="nothing to play"):
            Player(node, bag, topics=["/odom"])


@pytest.mark.parametrize("name", ["no_such_msgs/msg/Thing", "sensor_msgs/msg/NoSuchThing"])
def test_unknown_message_types(name):
    assert message_class(name) is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no_such_bag"], "no such bag"),
        (["{drive}", "--rate", "0"], "--rate"),
        (["{drive}", "--rate", "fast"], "--rate"),
        (["{drive}", "--wait-subscribers", "-1"], "--wait-subscribers"),
        (["{drive}", "--topics", "/scan"], "no topic /scan"),
    ],
)
def test_command_ends_with_one_clear_line(drive, arguments, complaint):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kdmos_ros.cli",
            "play",
            *(a.format(drive=drive) for a in arguments),
        ],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    # The middleware may have words of its own before.
    assert done.stderr.count("kdmos: error:") == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kdmos: error:")
    assert complaint in last
    assert "Traceback" not in done.stderr


# -- playing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [5, 1000])
def test_played_and_recorded_messages_are_the_same_bytes(node, drive, tmp_path, rate):
    listener = rclpy.create_node("listener")
    with BagFile(drive) as bag, BagWriter(tmp_path / "copy") as writer:
        topics = {"/points": POINT_CLOUD, "/odom": ODOMETRY}
        recorder = Recorder(listener, topics, writer)
        player = Player(node, bag, topics=topics, rate=rate)
        spin_until(listener, lambda: not player.missing_subscribers())
        played = threading.Thread(target=lambda: list(player.play()))
        played.start()
        spin_until(listener, lambda: recorder.counts.total() == 10)
        played.join(PATIENCE_S)
        player.flush()
        recorder.close()
        assert player.sent == recorder.counts == {"/points": 5, "/odom": 5}
    for topic in topics:
        assert contents(tmp_path / "copy", topic) == contents(drive, topic)


def test_pace_is_that_of_the_recording(node, drive, monkeypatch):
    class Time:
        now, slept = 1000.0, []

        @classmethod
        def monotonic(cls):
            return cls.now

        @classmethod
        def sleep(cls, seconds):
            cls.now += seconds

    monkeypatch.setattr("kdmos_ros.ros.player.time", Time)
    with BagFile(drive) as bag:
        player = Player(node, bag, topics=["points"], rate=2.0)
        moments = [Time.now for _ in player.play()]
    expected = [1000 + i * STEP_NS * 1e-9 / 2 for i in range(5)]
    assert moments == pytest.approx(expected)


def test_clock_runs_from_start_to_end_and_never_back(node, drive):
    listener, times = rclpy.create_node("listener"), []
    listener.create_subscription(
        Clock, "/clock", lambda m: times.append(stamp_ns(m.clock)), profile("best_effort", 1000)
    )
    with BagFile(drive) as bag:
        player = Player(node, bag, topics=["points"], clock=True)
        spin_until(listener, lambda: node.count_subscribers("/clock") == 1)
        spin_until(listener, lambda: player._clock.get_subscription_count() == 1)
        played = threading.Thread(target=lambda: list(player.play()))
        played.start()
        spin_until(listener, lambda: times and times[-1] == stamp(4))
        played.join(PATIENCE_S)
    assert times == sorted(times)
    assert times[0] >= START_NS
    assert len(times) > 5  # also between the messages


def test_static_transforms_reach_those_who_come_late(node, tmp_path):
    """Any latched topic will do: tf2_msgs is not installed everywhere."""
    from drive_harness import odometry

    bag_path = write_bag(
        tmp_path / "latched", {"/tf_static": (ODOMETRY, [(START_NS, odometry(0))])}
    )
    with BagFile(bag_path) as bag:
        player = Player(node, bag)
        assert player.missing_subscribers() == []
        list(player.play())
        listener, got = rclpy.create_node("listener"), []
        listener.create_subscription(
            message_class(ODOMETRY), "/tf_static", got.append, profile("reliable", 1, latched=True)
        )
        spin_until(listener, lambda: got)


@pytest.mark.slow
def test_command_plays_and_reports(drive, node):
    got = []
    node.create_subscription(
        message_class(POINT_CLOUD), "/points", got.append, profile("reliable", 100)
    )
    with subprocess.Popen(
        [
            sys.executable, "-m", "kdmos_ros.cli", "play", str(drive), "--rate", "50",
            "--topics", "/points", "--wait-subscribers",
        ],
        stdout=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        spin_until(node, lambda: len(got) == 5)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "played: /points 5" in output
    assert [stamp_ns(m.header.stamp) for m in got] == [stamp(i) for i in range(5)]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_signal_in_the_middle_of_a_call_is_no_error(drive, monkeypatch, stopped):
    """As when Ctrl-C comes while the player waits for its subscribers."""

    def flush(self):
        if stopped:
            try_shutdown()
        raise RuntimeError("publisher's context is invalid")

    monkeypatch.setattr(rclpy, "init", lambda args: None)  # it is
    monkeypatch.setattr(Player, "flush", flush)
    arguments = make_parser().parse_args(["play", str(drive), "--rate", "50"])
    if stopped:
        assert arguments.run(arguments) == 0
    else:
        with pytest.raises(RuntimeError, match="context"):
            arguments.run(arguments)


def test_recorder_needs_the_message_type(node, tmp_path):
    with (
        pytest.raises(KdmosError, match=r"/x: no_such_msgs/msg/Thing is not installed"),
        BagWriter(tmp_path / "bag") as writer,
    ):
        Recorder(node, {"/x": "no_such_msgs/msg/Thing"}, writer)
    assert not (tmp_path / "bag").exists()
