"""kill -9 at random moments: nothing half done bears its name, and starting again works."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from cloud_harness import make_cloud  # noqa: E402
from drive_harness import write_drive  # noqa: E402
from fault_harness import LONG, tell, times  # noqa: E402
from label_harness import TARGETS, label, write_interrupted_bag  # noqa: E402
from node_harness import START, STEP, pose  # noqa: E402
from ros_harness import PATIENCE_S, Client, NodeProcess, environment  # noqa: E402

from kdmos_ros.io.bag_file import BagFile  # noqa: E402
from kdmos_ros.labelling.job import Target  # noqa: E402
from kdmos_ros.ros.compat import try_shutdown  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]

HARNESSES = Path(__file__).resolve().parents[1] / "harnesses"
LABELS = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import label_harness
from kdmos_ros.labelling.job import Target
push = label_harness.CountingSegmenter.push
def told(self, scan):
    print("scan", flush=True)
    return push(self, scan)
label_harness.CountingSegmenter.push = told
label_harness.label(Path(sys.argv[2]), Target(Path(sys.argv[3]), sys.argv[4]))
print("written", flush=True)
"""
RECORDS = """
import sys
sys.path.insert(0, sys.argv[1])
from drive_harness import odometry, stamp
from kdmos_ros.io.bag_file import ODOMETRY
from kdmos_ros.io.bag_writer import BagWriter
with BagWriter(sys.argv[2]) as bag:
    bag.add_topic("/odom", ODOMETRY)
    for i in range(100_000):
        bag.write("/odom", stamp(i), odometry(i))
        print("message", flush=True)
"""


def killed(code, *arguments, after):
    """Run some code and kill it after so many lines that it has printed."""
    command = [sys.executable, "-c", code, str(HARNESSES), *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )
    for _ in range(after):
        process.stdout.readline()
    process.kill()
    process.communicate()


@pytest.mark.parametrize("kind", TARGETS)
def test_labelling(tmp_path, kind):
    name, read = TARGETS[kind]
    bag = write_interrupted_bag(tmp_path)
    label(bag, Target(tmp_path / "whole" / name, kind))
    expected = read(tmp_path / "whole" / name)
    number = times(1, 20)
    for i in range(number):
        out = tmp_path / f"killed_{i}" / name
        killed(LABELS, bag, out, kind, after=random.randrange(1, 50))
        assert not out.exists() or read(out) == expected
        if not out.exists():
            label(bag, Target(out, kind))
            assert read(out) == expected
    tell(f"kill -9 of labelling ({kind})", number, "that run; the next gives the same as any")


def test_recording(tmp_path):
    number = times(2, 50)
    for i in range(number):
        killed(RECORDS, tmp_path / f"bag_{i}", after=random.randrange(1, 500))
        assert not (tmp_path / f"bag_{i}").exists()
    tell("kill -9 of a recorder", number, "the recording, of which nothing bears its name")


def test_node_and_player(tmp_path, tiny_model):
    """Each is killed in the middle of its work and started again, the other one goes on."""
    bag = write_drive(tmp_path / "bag", 100, 300)
    rclpy.init()
    client = Client()
    number = times(1, 20)
    log = tmp_path / "node.log"

    def start():
        return NodeProcess(
            log, model=str(tiny_model), provider="cpu", base_to_lidar="0 0 1.7",
            cloud_reliability="reliable", odom_reliability="reliable", queue_size=100,
        )  # fmt: skip

    def play():
        return subprocess.Popen(
            [sys.executable, "-m", "kdmos_ros.cli", "play", str(bag), "--loop"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip

    def labelled_anew():
        client.labelled.clear()
        client.until(lambda: len(client.labelled) > random.randrange(2, 10), "labelled clouds")

    node, player = start(), play()
    try:
        labelled_anew()
        for _ in range(number):
            node.process.kill()
            node.process.wait(PATIENCE_S)
            node = start()
            labelled_anew()
            player.kill()
            player.wait(PATIENCE_S)
            player = play()
            labelled_anew()
        # The node that outlived the last player is well.
        player.kill()
        player.wait(PATIENCE_S)
        client.until_connected()
        client.labelled.clear()
        for i in range(5):
            stamp = START + 10**15 + i * STEP
            client.send_odometry(stamp, pose(i * 0.5))
            client.send_cloud(stamp, make_cloud()[0])
        client.until(lambda: client.labelled, "a labelled cloud")
        assert node.stop() == 0, node.output
        assert "Traceback" not in node.output
    finally:
        player.kill()
        player.wait()
        node.__exit__()
        client.close()
        try_shutdown()
    tell("kill -9 of node and player in turn", 2 * number, "clouds of the time between")


def test_a_bag_that_was_left_unfinished_is_read_as_far_as_it_goes(tmp_path):
    """What `ros2 bag record` leaves: its file, cut anywhere, and no metadata.yaml."""
    write_drive(tmp_path / "whole", 30, 50)
    (source,) = (tmp_path / "whole").glob("*.mcap")
    data = source.read_bytes()
    number, read, refused = times(40, 1000), 0, 0
    for _ in range(number):
        cut = tmp_path / "cut.mcap"
        cut.write_bytes(data[: random.randrange(len(data))])
        try:
            with BagFile(cut) as bag:
                read += sum(1 for _ in bag.messages())
        except Exception as error:
            assert type(error).__name__ == "BagError", repr(error)
            refused += 1
        os.unlink(cut)
    assert read and refused < number
    tell("bag cut anywhere", number, f"what was not written; {refused} had nothing to read")


@pytest.mark.skipif(not LONG, reason="trains for minutes: make test-faults runs it")
def test_training(tmp_path):
    """Started again it ends with the model that an undisturbed run gives."""
    pytest.importorskip("torch", reason="training needs torch")

    def train(work):
        command = [
            *(sys.executable, "-m", "kdmos_ros.cli", "train", "toy"),
            *("--work", str(work), "--out", str(work / "model")),
        ]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )

    began = time.monotonic()
    assert train(tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - began
    expected = contents(tmp_path / "whole" / "model")
    number = 5
    for i in range(number):
        work = tmp_path / f"killed_{i}"
        process = train(work)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0, seconds))
        process.kill()
        process.wait()
        if (work / "model").exists():
            assert contents(work / "model") == expected
        again = train(work)
        assert again.wait() == 0
        assert contents(work / "model") == expected
    tell(
        "kill -9 of training", number, "what came after the last checkpoint; the model is the same"
    )


def contents(model):
    """The graphs of a model."""
    return {name: (model / name).read_bytes() for name in ("encoder.onnx", "bev.onnx")}
