"""More clouds than the node can label: the newest wins, all are counted. Over real DDS."""

import threading

import numpy as np
import pytest
from cloud_harness import make_cloud

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.parameter import Parameter  # noqa: E402
from ros_harness import Client, stamps  # noqa: E402

from kdmos_ros.ros.compat import try_shutdown  # noqa: E402
from kdmos_ros.ros.node import MosNode  # noqa: E402
from kdmos_ros.segmentation.segmenter import Segmentation  # noqa: E402

START = 1_700_000_000_000_000_000
STEP = 20_000_000  # 50 Hz


class SlowSegmenter:
    """Takes each scan as long as the test says."""

    model_name, provider, fell_back, precision = "slow", "CPUExecutionProvider", False, "fp32"
    note = ""

    def __init__(self):
        self.begun = []
        self.may_end = threading.Semaphore(0)

    def push(self, scan):
        self.begun.append(scan.stamp_ns)
        assert self.may_end.acquire(timeout=120)
        n = len(scan.points)
        return Segmentation(np.ones(n, np.uint8), np.zeros(n, np.float32), scan.stamp_ns, {})

    def reset(self):
        pass


@pytest.fixture
def bench():
    rclpy.init()
    segmenter = SlowSegmenter()
    values = {
        "base_to_lidar": "0 0 1.73", "cloud_reliability": "reliable", "cloud_depth": 300,
        "odom_reliability": "reliable", "diagnostics_period": 0.1, "pose_timeout": 30.0,
    }  # fmt: skip
    node = MosNode(
        lambda _: segmenter,
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
    )
    client = Client(others=(node,))
    node.start()
    client.until_connected()
    yield client, segmenter
    segmenter.may_end.release(1000)
    node.stop()
    client.close()
    node.destroy_node()
    try_shutdown()


def test_each_label_is_that_of_the_newest_cloud_there_was(bench):
    client, segmenter = bench
    newest, sent = [], 0
    cloud = make_cloud()[0]
    for i in range(40):
        client.send_odometry(START + i * STEP, np.eye(4))
    client.until_status(odometry__added=40)
    for burst in (1, 7, 3, 1, 12, 5):  # clouds that come while one is labelled
        for _ in range(burst):
            client.send_cloud(START + sent * STEP, cloud)
            sent += 1
        client.until_status(received=sent)
        if newest:
            segmenter.may_end.release()  # only now the next one is chosen
        newest.append(START + (sent - 1) * STEP)
        client.until(lambda: len(segmenter.begun) == len(newest), "the next scan")
        assert segmenter.begun == newest
    segmenter.may_end.release()
    client.until(lambda: len(client.labelled) == len(newest), "the last label")
    assert stamps(client.labelled) == newest
    superseded = sent - len(newest)
    client.until_status(
        received=sent, labelled=len(newest), dropped=superseded, dropped__superseded=superseded
    )


def test_what_is_received_is_labelled_or_counted_as_dropped(bench):
    client, segmenter = bench
    cloud = make_cloud()[0]
    for i in range(200):
        client.send_odometry(START + i * STEP, np.eye(4))
        client.send_cloud(START + i * STEP, cloud)
        if i % 5 == 0:
            segmenter.may_end.release()
        client.executor.spin_once(timeout_sec=0.001)
    segmenter.may_end.release(1000)
    client.until(
        lambda: (
            client.status.get("received") == "200"
            and int(client.status["labelled"]) + int(client.status["dropped"]) == 200
        ),
        "an account of all clouds",
    )
    assert int(client.status["labelled"]) >= 2
    client.until(lambda: len(client.labelled) == int(client.status["labelled"]), "all labels")
    got = stamps(client.labelled)
    assert got == sorted(set(got)) and got[-1] == START + 199 * STEP, "the last one is never lost"
