import pytest

pytest.importorskip("diagnostic_msgs", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from kdmos_ros.health.complaints import Complaint, Level
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.ros.diagnostics import Identity, diagnostics, judge

CPU = Identity("small", "CPUExecutionProvider", False, "int8")


def counted(received=0, labelled=0, late=0, **dropped):
    statistics = Statistics()
    for _ in range(received):
        statistics.received()
    for i in range(labelled):
        statistics.labelled({"bev": 2.0, "total": 5.0}, late=i < late)
    for reason, number in dropped.items():
        for _ in range(number):
            statistics.dropped(reason, f"because of {reason}")
    return statistics.snapshot()


@pytest.mark.parametrize(
    ("snapshot", "level", "words"),
    [
        (counted(), DiagnosticStatus.WARN, "no cloud in the last"),
        (counted(10, 0, pose_timeout=10), DiagnosticStatus.ERROR, "pose_timeout 10"),
        (counted(10, 5, superseded=4, short_data=1), DiagnosticStatus.WARN, "50%"),
        (counted(100, 99, superseded=1), DiagnosticStatus.OK, "labelling"),
        (
            counted(10, 0, pose_gap=8, no_extrinsic=1, short_data=1),
            DiagnosticStatus.ERROR,
            "no pose: pose_gap 8",
        ),
        (counted(10, 0, tf_timeout=10), DiagnosticStatus.ERROR, "no pose: tf_timeout 10"),
        (counted(10, 0, kiss_failed=10), DiagnosticStatus.ERROR, "no pose: kiss_failed 10"),
        (counted(10, 0, tf_timeout=5, kiss_failed=5), DiagnosticStatus.ERROR, "no pose: "),
        (counted(10, 0, short_data=10), DiagnosticStatus.ERROR, "no cloud is labelled"),
        (counted(10, 10, late=4), DiagnosticStatus.WARN, "late: 40% of the clouds, median delay 5"),
        (counted(10, 10, late=1), DiagnosticStatus.OK, "labelling"),
        (counted(10, 5, late=5, superseded=5), DiagnosticStatus.WARN, "; late: 100%"),
    ],
)
def test_levels(snapshot, level, words):
    found, text = judge(snapshot, CPU, "active")
    assert found == level
    assert words in text


def test_cpu_although_a_gpu_was_asked_for():
    level, text = judge(counted(10, 10), CPU._replace(fell_back=True), "active")
    assert level == DiagnosticStatus.WARN
    assert text.startswith("CPU fallback: running on CPUExecutionProvider")
    level, text = judge(counted(10, 10, late=9), CPU._replace(fell_back=True), "active")
    assert "late" in text, "one trouble does not hide another"
    assert "CPU fallback" in text


@pytest.mark.parametrize("state", ["unconfigured", "inactive"])
def test_a_node_that_is_not_active_is_no_fault(state):
    assert judge(counted(), None, state)[0] == DiagnosticStatus.OK


def test_message_has_all_figures():
    snapshot = counted(4, 2, short_data=2)
    message = diagnostics(Time(sec=7), "mos_node: segmentation", snapshot, CPU, "active", {"a": 1})
    (status,) = message.status
    values = {item.key: item.value for item in status.values}
    assert message.header.stamp.sec == 7
    assert status.name == "mos_node: segmentation"
    assert values["model"] == "small"
    assert values["provider"] == "CPUExecutionProvider"
    assert values["precision"] == "int8"
    assert values["late"] == "0"
    assert (values["received"], values["labelled"], values["dropped"]) == ("4", "2", "2")
    assert values["dropped.short_data"] == "2"
    assert values["latency_ms.bev.p50"] == "2.00"
    assert values["latency_ms.total.p90"] == "5.00"
    assert values["last_error"] == "because of short_data"
    assert values["a"] == "1"


def test_without_a_model():
    message = diagnostics(Time(), "n", counted(), None, "unconfigured", {})
    values = {item.key: item.value for item in message.status[0].values}
    assert values["model"] == ""


def test_what_cannot_be_right_is_told_at_its_level():
    warning = Complaint("mount_yaw", Level.WARNING, "turned")
    error = Complaint("odometry_frozen", Level.ERROR, "frozen")
    assert judge(counted(10, 10), CPU, "active", [warning]) == (DiagnosticStatus.WARN, "turned")
    level, text = judge(counted(10, 10), CPU, "active", [error, warning])
    assert (level, text) == (DiagnosticStatus.ERROR, "frozen; turned")
    message = diagnostics(Time(), "n", counted(10, 10), CPU, "active", {}, [error, warning])
    values = {pair.key: pair.value for pair in message.status[0].values}
    assert values["health"] == "odometry_frozen, mount_yaw"
