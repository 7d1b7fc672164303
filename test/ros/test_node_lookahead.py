"""The node that looks ahead, in this process over real DDS: what comes, when, and what is lost."""

import numpy as np
import pytest
from drive_harness import MOUNT, stamp, write_drive

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")
pytest.importorskip("torch", reason="making a model needs torch")

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from ros_harness import Client, stamps  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from tiny_model_harness import make_tiny_model  # noqa: E402

from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.features.spec import FeatureSpec  # noqa: E402
from kdmos_ros.features.visibility import VisibilitySpec  # noqa: E402
from kdmos_ros.io.bag_file import BagFile  # noqa: E402
from kdmos_ros.io.bag_reader import BagReader  # noqa: E402
from kdmos_ros.pipeline import worker  # noqa: E402
from kdmos_ros.pipeline.replay import replay  # noqa: E402
from kdmos_ros.pointcloud.layout import read_layout  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402
from kdmos_ros.ros.node import MosNode  # noqa: E402
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter  # noqa: E402
from kdmos_ros.segmentation.segmenter import Segmenter  # noqa: E402

pytestmark = pytest.mark.ros
N = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Knows later scans; its labels mean nothing, but depend on them."""
    lags = VisibilitySpec(lags_s=(0.1, 0.2), future_lags_s=(0.1, 0.2))
    folder = tmp_path_factory.mktemp("model")
    return make_tiny_model(folder, features=FeatureSpec(visibility=lags))


@pytest.fixture
def bag(tmp_path):
    return write_drive(tmp_path / "bag", N, 3000)


@pytest.fixture
def bench(monkeypatch):
    """Makes an active node and a client; labels wait for later clouds however long it takes."""
    monkeypatch.setattr(worker, "_PATIENCE_S", 1000.0)
    rclpy.init()
    made = []

    def make(**parameters):
        values = {
            "base_to_lidar": " ".join(map(str, MOUNT[:3, 3])), "cloud_reliability": "reliable",
            "odom_reliability": "reliable", "queue_size": 100, "cloud_depth": 100,
            "pose_timeout": 30.0, "diagnostics_period": 0.1, "num_threads": 1, **parameters,
        }  # fmt: skip
        node = MosNode(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        client = Client(others=(node,))
        made.append((node, client))
        return node, client

    yield make
    for node, client in made:
        node.stop()
        client.close()
        node.destroy_node()
    try_shutdown()


def send(client, bag, index):
    """Publish a cloud of the bag and the pose at its stamp."""
    with BagFile(bag) as file:
        for m in file.messages(["/odom", "/points"]):
            if m.stamp_ns == stamp(index):
                kind, publisher = (
                    (Odometry, client.odom) if m.topic == "/odom" else (PointCloud2, client.clouds)
                )
                publisher.publish(deserialize_message(bytes(m.data), kind))


def test_clouds_come_late_in_order_with_the_labels_of_the_evaluation(bench, model, bag):
    node, client = bench(model=str(model), lookahead=2)
    node.start()
    client.until_connected()
    for i in range(N):
        send(client, bag, i)
        client.until_status(received=i + 1, labelled=max(0, i - 1), looking_ahead=min(i + 1, 2))
        client.until(lambda i=i: len(client.labelled) == max(0, i - 1), "those that are due")
        assert stamps(client.labelled) == [stamp(j) for j in range(i - 1)]
    assert client.status["lookahead"] == "2"
    assert "latency_ms.lookahead.p50" in client.status

    with BagReader(bag) as reader:
        late, at_once = (
            list(replay(reader, OnlineSegmenter(Segmenter(model, num_threads=1), lookahead)))
            for lookahead in (2, 0)
        )
    for out, expected in zip(client.labelled, late, strict=False):
        layout = read_layout(out)
        found = layout.column(layout.find("moving_probability")).ravel()
        np.testing.assert_array_equal(found, expected.moving_probability)
        labels = layout.column(layout.find("label")).ravel()
        np.testing.assert_array_equal(labels, expected.labels)
    differ = [
        (a.moving_probability != b.moving_probability).any()
        for a, b in zip(late, at_once, strict=True)
    ]
    assert any(differ[: N - 2]), "else looking ahead would change nothing"

    node.trigger_deactivate()
    client.until_status(state="inactive", labelled=N - 2, dropped=2, dropped__deactivated=2)
    assert len(client.labelled) == N - 2


def test_what_waits_comes_when_clouds_stay_away(bench, model, bag, monkeypatch):
    monkeypatch.setattr(worker, "_PATIENCE_S", 0.2)
    node, client = bench(model=str(model), lookahead=7)
    node.start()
    client.until_connected()
    for i in range(3):
        send(client, bag, i)
    client.until(lambda: len(client.labelled) == 3, "all of them")
    client.until_status(labelled=3, looking_ahead=0)
    send(client, bag, 3)
    client.until(lambda: len(client.labelled) == 4, "the next one")
    assert stamps(client.labelled) == [stamp(i) for i in range(4)]
    assert "event.reset" not in client.status


def test_it_changes_while_the_node_runs_and_nothing_is_lost(bench, model, bag):
    node, client = bench(model=str(model), lookahead=2)
    node.start()
    client.until_connected()
    for i in range(4):
        send(client, bag, i)
    client.until(lambda: len(client.labelled) == 2, "the first two")
    assert node.set_parameters([Parameter("lookahead", value=0)])[0].successful
    client.until_status(lookahead=0, model_loading=False)
    send(client, bag, 4)
    client.until(lambda: len(client.labelled) == 5, "those that waited, and one at once")
    assert stamps(client.labelled) == [stamp(i) for i in range(5)]
    client.until_status(received=5, labelled=5, dropped=0, looking_ahead=0)


def test_a_reset_ends_the_wait(bench, model, bag):
    node, client = bench(model=str(model), lookahead=3)
    node.start()
    client.until_connected()
    for i in range(3):
        send(client, bag, i)
    client.until_status(received=3, looking_ahead=3)
    node._reset()
    client.send_odometry(stamp(3), np.eye(4))
    send(client, bag, 3)
    client.until(lambda: len(client.labelled) == 3, "those before the reset")
    client.until_status(labelled=3, dropped=0, looking_ahead=1, event__reset=1)


def test_a_model_that_cannot_look_ahead(bench, tiny_model):
    node, client = bench(model=str(tiny_model), lookahead=1)
    with pytest.raises(KdmosError, match="model tiny was trained without later scans"):
        node.start()
    assert node.set_parameters([Parameter("lookahead", value=0)])[0].successful
    node.start()
    client.until_status(state="active", lookahead=0)
    assert node.set_parameters([Parameter("lookahead", value=3)])[0].successful
    client.until(lambda: "cannot look ahead" in client.status["model_refused"], "the refusal")
    client.until(lambda: node.parameters["lookahead"] == 0, "the old value")
    assert client.status["state"] == "active"
    assert not node.set_parameters([Parameter("lookahead", value=8)])[0].successful
