"""What the node tells its operator: diagnostics, latency, log."""

import pytest
from cloud_harness import make_cloud

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from node_harness import START, STEP, FakeSegmenter, label_cloud, node_bench, pose
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64

from kdmos_ros.ros import node as node_module
from kdmos_ros.ros import session
from kdmos_ros.ros.qos import profile


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def test_a_provider_that_is_not_measured_is_in_the_log(bench, capfd):
    segmenter = FakeSegmenter()
    segmenter.note = "provider auto chose CUDA, which is not measured"
    bench(load=lambda _: segmenter)
    lines = [line for line in capfd.readouterr().err.splitlines() if segmenter.note in line]
    assert len(lines) == 1 and "[WARN]" in lines[0]


def test_the_operator_is_told_what_is_wrong(bench):
    segmenter = FakeSegmenter()
    segmenter.fell_back = True
    _, client, _ = bench(load=lambda _: segmenter, pose_timeout=0.0)

    def until(level, message):
        client.until(
            lambda: client.status.get("level") == level and client.status["message"] == message,
            message,
        )

    until(DiagnosticStatus.WARN, "no cloud in the last 10 s")
    client.send_cloud(START, make_cloud()[0])
    until(DiagnosticStatus.ERROR, "no pose: pose_timeout 1")
    for i in range(3):
        client.send_odometry(START + i * STEP, pose(i))
        client.until_status(odometry__added=i + 1)
        client.send_cloud(START + i * STEP, make_cloud()[0])
    fallback = "CPU fallback: running on CPUExecutionProvider, not the provider asked for"
    until(DiagnosticStatus.WARN, f"dropping 25% of the clouds: pose_timeout 1; {fallback}")


def test_latency_topics_and_late_clouds(bench):
    node, client, _ = bench(late_after=0.001)
    values = {}
    for stage in ("decode", "total"):
        client.node.create_subscription(
            Float64, f"/mos_node/debug/latency/{stage}_ms",
            lambda message, s=stage: values.update({s: message.data}), 10,
        )  # fmt: skip
    numbers = iter(range(1000))

    def label():
        label_cloud(client, next(numbers), width=20_000)

    label()
    client.until(
        lambda: all(
            client.node.count_publishers(f"/mos_node/debug/latency/{stage}_ms")
            for stage in ("decode", "total")
        ),
        "the topics",
    )
    while len(values) < 2:
        label()
    assert 0 < values["decode"] < values["total"]
    client.until(lambda: int(client.status.get("late", 0)) > 0, "late clouds")
    assert "late" in client.status["message"]
    node.set_parameters([Parameter("late_after", value=60.0)])
    client.until_status(labelled=len(client.labelled))
    late = client.status["late"]
    label()
    client.until_status(labelled=len(client.labelled), late=late)


def test_the_heap_is_trimmed_while_the_node_runs(bench, monkeypatch):
    trimmed = []
    monkeypatch.setattr(node_module, "_TRIM_PERIOD_S", 0.05)
    monkeypatch.setattr(node_module, "trim_heap", lambda: trimmed.append(1))
    _, client, _ = bench()
    client.until(lambda: len(trimmed) > 1, "the heap's trimming")


def test_publisher_whose_qos_does_not_fit_is_reported(bench, monkeypatch):
    lines = []
    monkeypatch.setattr(
        session.ThrottledLog, "warning", lambda self, kind, text: lines.append(text)
    )
    node, client, _ = bench(start=False)
    client.node.destroy_publisher(client.clouds)
    client.node.create_publisher(PointCloud2, "/points", profile("best_effort", 5))
    node.start()
    client.until(lambda: any("cloud_reliability" in line for line in lines), "the warning")


def warnings(monkeypatch):
    """What the node warns of, as it comes."""
    lines = []
    monkeypatch.setattr(
        session.ThrottledLog, "warning", lambda self, kind, text: lines.append(text)
    )
    return lines


def test_silent_publisher_is_reported(bench, monkeypatch):
    lines = warnings(monkeypatch)
    monkeypatch.setattr("kdmos_ros.pipeline.delivery_watch.SILENCE_S", 0.0)
    _, client, _ = bench()
    client.until(lambda: any("publisher(s) are silent" in line for line in lines), "the warning")
    assert not any("Fast DDS" in line for line in lines)


def test_a_forgotten_topic_is_said_with_those_that_there_are(bench, monkeypatch):
    lines = warnings(monkeypatch)
    monkeypatch.setattr("kdmos_ros.ros.topic_watch.PATIENCE_S", 0.0)
    node, client, _ = bench(start=False)
    for publisher in (client.clouds, client.odom):
        client.node.destroy_publisher(publisher)
    client.node.create_publisher(PointCloud2, "/velodyne_points", profile("best_effort", 5))
    client.node.create_publisher(Odometry, "/wheels", profile("reliable", 5))
    node.start()

    def said(words):
        return any(words in line for line in lines)

    client.until(
        lambda: said(
            "nothing publishes sensor_msgs/msg/PointCloud2 on /points; there is /velodyne_points: "
            "name one by the launch argument cloud"
        ),
        "the clouds' topics",
    )
    client.until(lambda: said("on /odom; there is /wheels: name one by"), "the odometry's topics")
    assert not said("/mos_node/labeled")


def test_a_topic_of_another_type_is_named(bench, monkeypatch):
    lines = warnings(monkeypatch)
    monkeypatch.setattr("kdmos_ros.ros.topic_watch.PATIENCE_S", 0.0)
    node, client, _ = bench(start=False)
    client.node.destroy_publisher(client.clouds)
    context = rclpy.Context()  # Fast DDS refuses two types of a topic within one
    rclpy.init(context=context)
    other = rclpy.create_node("other", context=context)
    other.create_publisher(Float64, "/points", 5)
    node.start()
    client.until(
        lambda: any(
            "/points is std_msgs/msg/Float64, not sensor_msgs/msg/PointCloud2, and there is no "
            "other topic of that type" in line
            for line in lines
        ),
        "the warning",
    )
    other.destroy_node()
    rclpy.shutdown(context=context)


def test_clouds_lost_on_the_way_are_in_diagnostics(bench, monkeypatch):
    lines = warnings(monkeypatch)
    node, client, _ = bench()
    node._session._watch.lost_on_the_way(7)
    client.until_status(lost_on_the_way=7)
    client.until(lambda: any("fastdds_profile.xml" in line for line in lines), "the warning")
