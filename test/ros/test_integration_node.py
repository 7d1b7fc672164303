"""The node as its own process, fed by real bags over DDS, as on a robot."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from cloud_harness import make_cloud

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from ros_harness import PATIENCE_S, Client, NodeProcess, environment, stamps  # noqa: E402

from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.geometry.transforms import matrix_to_quaternion  # noqa: E402
from kdmos_ros.io.bag_reader import BagReader  # noqa: E402
from kdmos_ros.pointcloud.layout import Field, read_layout  # noqa: E402
from kdmos_ros.poses.pose_messages import stamp_ns  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND // 10
# Nothing may be lost however slow the machine is: reliable, long queues, all odometry kept.
LOSSLESS = {
    "cloud_reliability": "reliable",
    "odom_reliability": "reliable",
    "cloud_depth": 300,
    "queue_size": 300,
    "pose_history": 300.0,
    "pose_timeout": 60.0,
    "diagnostics_period": 0.2,
}


@pytest.fixture(autouse=True)
def ros():
    rclpy.init()
    yield
    try_shutdown()


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def model(request):
    """The shipped model, or while there is none, a tiny one."""
    from kdmos_ros.segmentation.segmenter import default_model

    try:
        return default_model()
    except KdmosError:
        return request.getfixturevalue("tiny_model")


def mount_text(matrix):
    numbers = [*matrix[:3, 3], *matrix_to_quaternion(matrix[:3, :3])]
    return " ".join(repr(float(number)) for number in numbers)


def play_through_node(bag_path, client, model, log):
    """Play a bag at double speed by the command; returns the node's output clouds."""
    with BagReader(bag_path) as bag:
        n_scans, mount = bag.n_scans, bag.base_T_sensor
        remap = {"points": bag.cloud_topic, "odom": bag.odom_topic}
    parameters = {"model": model, "base_to_lidar": f"'{mount_text(mount)}'", **LOSSLESS}
    client.node.destroy_subscription(client.subscriptions["moving"])
    client.node.destroy_subscription(client.subscriptions["static"])
    with NodeProcess(log, remap, **parameters) as node:
        client.until_status(state="active")
        player = subprocess.Popen(
            [
                sys.executable, "-m", "kdmos_ros.cli", "play", str(bag_path), "--rate", "2",
                "--topics", *remap.values(), "--wait-subscribers",
            ],
            stdout=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        try:
            client.until(
                lambda: len(client.labelled) == n_scans or node.process.poll() is not None,
                f"{n_scans} labelled clouds",
            )
            client.until_status(received=n_scans, labelled=n_scans, dropped=0)
            assert player.wait(PATIENCE_S) == 0
        finally:
            player.kill()
            player.wait()
        assert node.stop() == 0, node.output
    return client.labelled


def test_every_scan_of_a_real_clip_comes_back_as_it_was(real_data, client, model, tmp_path):
    bag_path = real_data / "kitti_0048" / "bag"
    outputs = play_through_node(bag_path, client, model, tmp_path / "node.log")
    with BagReader(bag_path) as bag:
        sources = list(bag.clouds())
    assert stamps(outputs) == [stamp for stamp, _ in sources]
    for (_, source), output in zip(sources, outputs, strict=True):
        before, after = read_layout(source), read_layout(output)
        assert (before.height, before.width) == (after.height, after.width)
        assert output.header.frame_id == source.header.frame_id
        kept = after.leading_bytes(before.point_step)
        assert kept.tobytes() == before.records().tobytes()
        assert after.fields[:-2] == before.fields
        labels = after.column(after.find("label"))
        assert labels.max() <= 3
        assert (labels > 0).mean() > 0.5  # most points of a street are within range


def test_node_and_evaluation_give_the_same_labels(real_data, client, model, tmp_path):
    from kdmos_ros.pipeline.replay import replay
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
    from kdmos_ros.segmentation.segmenter import Segmenter

    bag_path = real_data / "kitti_0005" / "bag"
    outputs = play_through_node(bag_path, client, model, tmp_path / "node.log")
    by_stamp = {stamp_ns(output.header.stamp): output for output in outputs}
    with BagReader(bag_path) as bag:
        for scan in replay(bag, OnlineSegmenter(Segmenter(model))):
            layout = read_layout(by_stamp.pop(scan.stamp_ns))
            labels = layout.column(layout.find("label")).ravel()
            np.testing.assert_array_equal(labels, scan.labels, err_msg=f"scan {scan.index}")
            probability = layout.column(layout.find("moving_probability")).ravel()
            np.testing.assert_array_equal(probability, scan.moving_probability)
    assert not by_stamp


def bad_clouds():
    """Reason -> a cloud that gives it."""
    clouds = {}

    def add(reason, **changes):
        cloud, _ = make_cloud()
        for name, value in changes.items():
            setattr(cloud, name, value)
        cloud.data = np.frombuffer(cloud.data, np.uint8)
        clouds[reason] = cloud

    fields = make_cloud()[0].fields
    add("missing_xyz", fields=fields[1:])
    add("bad_datatype", fields=[*fields[:2], Field("z", 8, 5, 1), fields[3]])
    add("bad_point_step", point_step=10)
    add("bad_row_step", row_step=12)
    add("short_data", width=60, row_step=960)
    add("too_many_points", width=10_000_000, row_step=160_000_000)
    return clouds


def test_node_outlives_all_bad_clouds_and_labels_the_next_good_one(client, tiny_model, tmp_path):
    parameters = {"model": tiny_model, "base_to_lidar": "0 0 1.73", **LOSSLESS}
    parameters["pose_timeout"] = 0.2
    with NodeProcess(tmp_path / "node.log", **parameters) as node:
        client.until_status(state="active")
        client.until_connected()
        for i in range(50):
            client.send_odometry(START + i * STEP, np.eye(4))
        client.until_status(odometry__added=50)

        bad = bad_clouds()
        for i, cloud in enumerate(bad.values()):
            client.send_cloud(START + i * STEP, cloud)
        good, _ = make_cloud("velodyne", width=5000)
        client.send_cloud(START + 100 * STEP, good)  # no odometry there yet
        expected = dict.fromkeys(bad, 1) | {"pose_timeout": 1}
        client.until_status(**{f"dropped__{reason}": n for reason, n in expected.items()})
        assert client.labelled == []

        client.send_cloud(START + 10 * STEP, good)
        client.send_cloud(START + 10 * STEP, good)
        client.send_cloud(START + 9 * STEP, good)
        big_endian, _ = make_cloud("velodyne", width=5000, big_endian=True)
        client.send_cloud(START + 11 * STEP, big_endian)
        client.send_cloud(START + 12 * STEP, make_cloud(width=0)[0])
        client.send_cloud(START + 13 * STEP, make_cloud(values={"x": np.full(50, np.nan)})[0])
        client.send_cloud(START + 14 * STEP, good)
        client.until(lambda: len(client.labelled) == 5, "five labelled clouds")
        client.until_status(
            dropped__repeated_stamp=1, dropped__out_of_order=1, labelled=5,
            event__empty_cloud=1, event__no_finite_point=1, dropped=len(bad) + 3,
        )  # fmt: skip
        assert stamps(client.labelled) == [START + i * STEP for i in (10, 11, 12, 13, 14)]
        first, swapped, empty, blind, last = client.labelled
        assert read_layout(first).leading_bytes(22).tobytes() == good.data
        assert swapped.is_bigendian
        assert empty.width == 0
        layout = read_layout(blind)
        assert not layout.column(layout.find("label")).any()
        layout = read_layout(last)
        assert layout.column(layout.find("label")).any()
        assert node.process.poll() is None
        assert "Traceback" not in node.output
        for word in ("float32 or float64", "point_step", "row_step", "has no field x"):
            assert word in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_node_stops_cleanly_when_told(client, tiny_model, tmp_path, number):
    with NodeProcess(tmp_path / "node.log", model=tiny_model, **LOSSLESS) as node:
        node.until_logged("labelling")
        assert node.stop(number) == 0, node.output
        assert "Traceback" not in node.output
        assert "rror" not in node.output


@pytest.mark.parametrize("moment", ["loading model", "still loading"])
def test_node_stops_cleanly_while_it_compiles(client, tiny_model, tmp_path, moment, monkeypatch):
    """As Ctrl-C under launch, which comes twice, at the first start of all."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "nothing_compiled_yet"))
    with NodeProcess(tmp_path / "node.log", model=str(tiny_model), provider="cpu") as node:
        node.until_logged(moment)
        node.process.send_signal(signal.SIGINT)
        assert node.stop(signal.SIGINT) == 0, node.output
        assert "Traceback" not in node.output and "Exception ignored" not in node.output
        assert "inactive -> active" not in node.output


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"pose_timeout": -1.0}, ["pose_timeout"]),
        ({"provider": "gpu"}, ["provider", "must be one of auto, cpu"]),
        ({"queue_size": 2.5}, ["queue_size"]),
        ({"base_to_lidar": "'1 2'"}, ["base_to_lidar", "numbers"]),
        ({"model": "/no/such/model"}, ["/no/such/model"]),
    ],
)
def test_wrong_parameters_end_the_node_with_one_clear_line(tmp_path, parameters, words):
    with NodeProcess(tmp_path / "node.log", **parameters) as node:
        assert node.process.wait(PATIENCE_S) == 2
        lines = [line for line in node.output.splitlines() if line.startswith("mos_node: error:")]
        assert len(lines) == 1
        for word in words:
            assert word in lines[0]
        assert "Traceback" not in node.output
