"""Random and mutated messages: each cloud is labelled or dropped for a reason, and counted."""

import random
import time
from types import SimpleNamespace

import pytest
from cloud_harness import LAYOUTS, make_cloud
from fault_harness import tell, times
from pipeline_harness import SECOND, Bench

from kdmos_ros.pipeline.worker import Job, Worker
from kdmos_ros.pointcloud.codec import append_label, subset
from kdmos_ros.pointcloud.layout import Field
from kdmos_ros.throttled_log import ThrottledLog

pytestmark = pytest.mark.slow

SIZES = (0, 1, 7, 2**16, 2**31 - 1, 2**32 - 1)
NAMES = ("x", "y", "z", "intensity", "t", "time", "timestamp", "ring", "", "x" * 300, "é")
FRAMES = ("lidar", "", "/lidar", "other", "lidar" * 50)


def mutated(random_):
    """A cloud of some driver with up to three things wrong, its stamp (ns) and frame."""
    layout = random_.choice(sorted(LAYOUTS))
    message, _ = make_cloud(layout, random_.choice((0, 1, 3, 40)), seed=random_.randrange(100))
    for _ in range(random_.randrange(4)):
        mutate(random_, message)
    stamp = random_.choice((0, 1, 2**32 * SECOND - 1, 2**31 * SECOND, random_.randrange(2**62)))
    if random_.random() < 0.7:
        stamp = 1_000 * SECOND + random_.randrange(100 * SECOND)
    return message, stamp, random_.choice(FRAMES)


def mutate(random_, message):
    fields = list(message.fields)
    kind = random_.randrange(7)
    if kind == 0:
        setattr(message, random_.choice(("width", "height", "point_step", "row_step")),
                random_.choice(SIZES))  # fmt: skip
    elif kind == 1:
        message.data = message.data[: random_.randrange(len(message.data) + 1)]
    elif kind == 2 and message.data:
        data = bytearray(message.data)
        for _ in range(20):
            data[random_.randrange(len(data))] = random_.choice((0, 0x7F, 0x80, 0xFF))
        message.data = bytes(data)
    elif kind == 3 and fields:
        del fields[random_.randrange(len(fields))]
    elif kind == 4 and fields:
        i = random_.randrange(len(fields))
        old = fields[i]
        fields[i] = Field(
            random_.choice((old.name, *NAMES)), random_.choice((old.offset, *SIZES)),
            random_.choice((old.datatype, *range(10), 255)), random_.choice((old.count, *SIZES)),
        )  # fmt: skip
    elif kind == 5 and fields:
        fields.append(random_.choice(fields))
    else:
        message.is_bigendian = not message.is_bigendian
    message.fields = fields


@pytest.mark.parametrize("deskew", ["auto", True, False])
def test_each_message_is_labelled_or_dropped_for_a_reason(deskew):
    bench = Bench(deskew=deskew, time_field="")
    for i in range(2000):
        bench.odometry(1_000 + i * 0.05)

    def publish(result):
        append_label(result.layout, result.labels, result.moving_probability)
        subset(result.layout, result.labels == 3)
        return {}

    log = ThrottledLog(bench.logger, 0)
    worker = Worker(bench.pipeline, publish, 10_000, bench.statistics, log)
    worker.start()
    number = times(600, 34_000)
    random_ = random.Random(f"{deskew}")
    for _ in range(number):
        message, stamp, frame = mutated(random_)
        worker.submit(Job(message, stamp, frame, time.perf_counter()))
        while worker.waiting > 1_000:
            time.sleep(0.01)
    while worker.waiting:
        time.sleep(0.01)
    worker.stop()
    seen = bench.statistics.snapshot()
    unforeseen = [line for line in bench.logger.lines if "Traceback" in line]
    assert not unforeseen, unforeseen[0]
    assert seen.received == number
    assert seen.labelled + sum(seen.dropped.values()) == number
    assert seen.labelled > number / 20, "some are good"
    assert len(seen.dropped) > 3
    tell(f"fuzzed clouds in process, deskew {deskew}", number,
         f"{sum(seen.dropped.values())} clouds, each counted for one of {len(seen.dropped)} "
         "reasons; no unforeseen error")  # fmt: skip


def test_odometry_of_any_numbers_is_read_or_counted():
    from kdmos_ros.pipeline.odometry_source import OdometrySource
    from kdmos_ros.poses.buffer import PoseBuffer
    from kdmos_ros.poses.pose_messages import ODOMETRY

    bench = Bench()
    log = ThrottledLog(bench.logger, 0)
    source = OdometrySource(PoseBuffer(), "/odom", "base_link", bench.statistics, log, True)
    random_ = random.Random(0)
    numbers = (0.0, 1.0, -1.0, 1e300, 1e-300, float("nan"), float("inf"), -float("inf"))
    number = times(2_000, 30_000)

    def value():
        return random_.choice(numbers) if random_.random() < 0.1 else random_.uniform(-2, 2)

    for i in range(number):
        header = SimpleNamespace(
            frame_id="odom",
            stamp=SimpleNamespace(sec=random_.choice((i, 0, 2**31 - 1)), nanosec=0),
        )
        position = SimpleNamespace(x=value(), y=value(), z=value())
        turn = SimpleNamespace(x=value(), y=value(), z=value(), w=value())
        pose = SimpleNamespace(pose=SimpleNamespace(position=position, orientation=turn))
        source.receive(
            SimpleNamespace(header=header, child_frame_id="base_link", pose=pose), ODOMETRY
        )
    figures = source.figures()
    bad = bench.statistics.snapshot().events.get("bad_odometry", 0)
    assert bad > number / 10
    assert any(value > 0 for value in figures.values()), figures
    tell("odometry with odd numbers", number, f"{bad} messages, counted as bad_odometry")


def test_messages_over_dds():
    """The same clouds, sent: what DDS carries, the node answers or counts."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from node_harness import node_bench, pose

    number, random_ = times(150, 5_000), random.Random(1)
    with node_bench() as make:
        _, client, _ = make(pose_timeout=0.05)
        for i in range(1, 501):
            client.send_odometry(1_000 * SECOND + i * SECOND // 5, pose(i * 0.2))
            if not i % 100:
                client.until_status(odometry__added=i)
        for i in range(number):
            message, stamp, frame = mutated(random_)
            client.send_cloud(stamp % (2**31 * SECOND), message, frame)
            if i % 50 == 49:
                client.until_status(received=i + 1)
        client.until_status(received=number)
        client.until(
            lambda: int(client.status["labelled"]) + int(client.status["dropped"]) == number,
            "all clouds labelled or counted",
        )
        dropped = {k: v for k, v in client.status.items() if k.startswith("dropped.")}
        assert "dropped.internal_error" not in dropped
        assert int(client.status["labelled"]) and len(dropped) > 3
        tell("fuzzed clouds over DDS", number,
             f"{client.status['dropped']} clouds, each counted for one of {len(dropped)} "
             "reasons")  # fmt: skip
