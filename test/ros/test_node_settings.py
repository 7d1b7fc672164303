"""Parameters that change while the node runs."""

import pytest
from cloud_harness import make_cloud

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import START, STEP, node_bench, pose
from rclpy.parameter import Parameter
from ros_harness import stamps

from kdmos_ros.ros import node as node_module

_LIMITS = {
    "pose_max_gap": "max_gap_s", "pose_max_jump": "max_jump_m", "pose_history": "max_seconds",
}  # fmt: skip


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def test_reports_come_as_often_as_asked_for(bench):
    node, client, _ = bench(diagnostics_period=60.0)
    assert client.status == {}
    assert node.set_parameters([Parameter("diagnostics_period", value=0.1)])[0].successful
    client.until_status(state="active")


def test_limits_of_poses_change_while_the_node_runs(bench, monkeypatch):
    monkeypatch.setattr(node_module, "_WATCH_PERIOD_S", 0.05)
    node, client, segmenter = bench(pose_max_gap=0.2, pose_timeout=0.0)

    def send(step, x):
        client.send_odometry(START + step * STEP, pose(x))
        client.until_status(odometry__added=step + 1)

    def limit(**values):
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        buffer = node._session._poses.buffer
        client.until(
            lambda: all(getattr(buffer, _LIMITS[n]) == v for n, v in values.items()), "the limits"
        )

    for step in range(3):
        send(step, 0.1 * step)
    client.send_cloud(START + 2 * STEP, make_cloud()[0])
    client.until_status(labelled=1)
    before = segmenter.resets
    limit(pose_max_jump=100.0, pose_history=60.0)
    send(3, 7.0)  # a jump, if the limit were still a metre
    client.send_cloud(START + 3 * STEP, make_cloud()[0])
    client.until_status(labelled=2, odometry__jumps=0)
    assert segmenter.resets == before
    limit(pose_max_jump=1.0)
    send(4, 7.1)  # as far from the course as that
    client.send_cloud(START + 4 * STEP, make_cloud()[0])
    client.until_status(labelled=3, odometry__jumps=1)
    assert segmenter.resets == before + 1
    limit(pose_max_gap=5.0)
    client.send_odometry(START + 20 * STEP, pose(7.1))
    client.until_status(odometry__added=6, odometry__gaps=0)
    client.send_cloud(START + 10 * STEP, make_cloud()[0])
    client.until_status(labelled=4, dropped=0)


def test_the_queue_may_grow_and_shrink_while_the_node_runs(bench, monkeypatch):
    monkeypatch.setattr(node_module, "_WATCH_PERIOD_S", 0.05)
    node, client, _ = bench(queue_size=100)
    box = node._session._worker._mailbox
    for i in range(6):  # no pose yet: the first is in work, the others wait
        client.send_cloud(START + i * STEP, make_cloud()[0])
    client.until_status(received=6, waiting=5)
    node.set_parameters([Parameter("queue_size", value=2)])
    client.until(lambda: box.size == 2, "the smaller queue")
    client.send_cloud(START + 6 * STEP, make_cloud()[0])
    client.until_status(received=7, waiting=2, dropped__queue_full=4)
    for i in range(7):
        client.send_odometry(START + i * STEP, pose(0))
    client.until(lambda: len(client.labelled) == 3, "the clouds that were kept")
    assert stamps(client.labelled) == [START + i * STEP for i in (0, 5, 6)]
