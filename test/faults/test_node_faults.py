"""A node under disturbances of time, odometry, parameters and states: nothing goes uncounted."""

import os
import threading

import numpy as np
import pytest
from cloud_harness import make_cloud

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fault_harness import LONG, tell, times
from node_harness import SECOND, START, STEP, FakeSegmenter, label_cloud, node_bench, pose
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

pytestmark = [pytest.mark.ros, pytest.mark.slow]

CLOUDS = 12


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def steady(client, first, number, shift=0, **odometry):
    """Clouds with the odometry that belongs to them."""
    for i in range(first, first + number):
        client.send_odometry(START + shift + i * STEP, pose(i * 0.5), **odometry)
        client.send_cloud(START + shift + i * STEP, make_cloud()[0])


def dies(client):
    for i in range(CLOUDS):
        client.send_cloud(START + (100 + i) * STEP, make_cloud()[0])


def lags_two_seconds(client):
    for i in range(100, 100 + CLOUDS):
        client.send_cloud(START + i * STEP, make_cloud()[0])
        client.send_odometry(START + (i - 20) * STEP, pose(i * 0.5))


def doubles_its_rate(client):
    for i in range(100, 100 + CLOUDS):
        for half in (0, STEP // 2):
            client.send_odometry(START + i * STEP + half, pose((i + half / STEP) * 0.5))
        client.send_cloud(START + i * STEP, make_cloud()[0])


def changes_its_frames(client):
    steady(client, 100, CLOUDS, child="other_base")


def an_hour_on(client):
    steady(client, 100, CLOUDS, 3600 * SECOND)


def an_hour_back(client):
    steady(client, 100, CLOUDS, -3600 * SECOND)


def from_the_epoch(client):
    steady(client, 0, CLOUDS, SECOND - START)


def at_the_end_of_int32_seconds(client):
    steady(client, 0, CLOUDS, (2**31 - 3) * SECOND - START)


def stands_still(client):
    for _ in range(CLOUDS):
        client.send_odometry(START, pose(0))
        client.send_cloud(START, make_cloud()[0])


DISTURBANCES = [
    *(dies, lags_two_seconds, doubles_its_rate, changes_its_frames, an_hour_on, an_hour_back),
    *(from_the_epoch, at_the_end_of_int32_seconds, stands_still),
]


def accounted(client):
    """Clouds labelled or counted as dropped, as diagnostics say."""
    return int(client.status.get("labelled", 0)) + int(client.status.get("dropped", 0))


@pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda d: d.__name__)
def test_disturbed_time_and_odometry_lose_nothing_uncounted(bench, disturb):
    _, client, _ = bench(pose_timeout=0.05, base_to_lidar="0 0 1.7")
    rounds = times(1, 10)
    sent = 0
    for _ in range(rounds):
        steady(client, 0, CLOUDS)
        disturb(client)
        sent += 2 * CLOUDS
        client.until(lambda n=sent: accounted(client) == n, f"{sent} clouds labelled or counted")
        client.until_status(received=sent)
    assert "dropped.internal_error" not in client.status
    before = int(client.status["labelled"])
    # And it goes on, once all is well again.
    steady(client, 10_000, CLOUDS)
    client.until(lambda: int(client.status["labelled"]) > before, "labels again")
    dropped = {k: v for k, v in client.status.items() if k.startswith("dropped.")}
    tell(f"time and odometry: {disturb.__name__.replace('_', ' ')}", sent,
         f"{client.status['dropped']} clouds, counted: "
         + (", ".join(f"{k[8:]} {v}" for k, v in sorted(dropped.items())) or "none"))  # fmt: skip


def test_parameters_change_while_clouds_come(bench):
    node, client, _ = bench()
    random = np.random.default_rng(0)
    number = times(100, 1000)
    refused = 0
    changes = {
        "queue_size": lambda: int(random.integers(1, 200)),
        "pose_timeout": lambda: float(random.uniform(0.5, 30)),
        "pose_max_gap": lambda: float(random.uniform(0.2, 5)),
        "max_range": lambda: float(random.uniform(0, 100)),
        "min_range": lambda: float(random.uniform(0, 2)),
        "deskew": lambda: str(random.choice(["auto", "false"])),
        "precision": lambda: str(random.choice(["auto", "fp32", "nonsense"])),
        "cloud_depth": lambda: int(random.integers(1, 50)),
        "late_after": lambda: float(random.uniform(0.01, 1)),
    }
    for i in range(number):
        name = str(random.choice(list(changes)))
        (result,) = node.set_parameters([Parameter(name, value=changes[name]())])
        refused += not result.successful
        client.send_odometry(START + i * STEP, pose(i * 0.5))
        client.send_cloud(START + i * STEP, make_cloud()[0])
        if i % 20 == 19:  # more than the subscription holds would be lost in DDS
            seen = i + 1
            client.until(lambda n=seen: node.statistics.snapshot().received == n, f"{seen} clouds")
    client.until_status(received=number)
    client.until(lambda: accounted(client) == number, "all clouds labelled or counted")
    assert "dropped.internal_error" not in client.status
    assert 0 < refused < number
    lost = f"{client.status['dropped']} of {number} clouds, counted; {refused} changes refused"
    tell("parameter changes under load", number, lost)


def test_many_life_cycles_leave_nothing_behind(bench):
    node, client, _ = bench(start=False, load=lambda _: FakeSegmenter())
    number = times(8, 100)

    def cycle(step):
        for transition in ("configure", "activate", "deactivate", "cleanup"):
            assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
            if transition == "activate":
                client.until_connected()
                client.labelled.clear()
                label_cloud(client, 0)
        client.until(lambda: not client.node.count_subscribers("/points"), "no subscription")
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    first = [cycle(i) for i in range(3)][-1]
    last = [cycle(i) for i in range(number)][-1]
    assert last[0] <= first[0], "threads"
    assert last[1] <= first[1] + 2, "open files"
    tell("life cycles: configure, activate, label, deactivate, clean up", number + 3, "nothing")


@pytest.mark.skipif(not LONG, reason="takes ten minutes: make test-faults runs it")
def test_fifty_clouds_a_second_for_ten_minutes(tmp_path, tiny_model):
    """The node as a process of its own; test/ros/test_overload.py is the short version."""
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    from drive_harness import write_drive

    from kdmos_ros.bench.node_timing import fed_node
    from kdmos_ros.bench.stage_times import Case, peak_memory_mb
    from kdmos_ros.io.open_bag import BagOptions

    bag = write_drive(tmp_path / "bag", 100, 20_000)
    with fed_node(Case(bag, BagOptions(), tiny_model, "cpu", "fp32", 0), 50.0) as fed:
        fed.feeder.play(fed.process.check, seconds=30)
        early = peak_memory_mb(fed.process.pid)
        fed.feeder.play(fed.process.check, seconds=570)
        fed.wait_for_the_last()
        counts, late = fed.counts(), peak_memory_mb(fed.process.pid)
    dropped = counts["dropped"]
    assert counts["labelled"] + sum(dropped.values()) == counts["received"]
    assert "internal_error" not in dropped
    assert late < early * 1.1
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(dropped.items())) or "none"
    on_the_way = counts["sent"] - counts["received"]
    tell("50 clouds a second for ten minutes", counts["sent"],
         f"{sum(dropped.values())} counted by the node ({reasons}), {on_the_way} on the way; "
         f"peak memory {early:.0f}, then {late:.0f} MB")  # fmt: skip
