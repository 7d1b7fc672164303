"""Over DDS, with a real model: after a disturbance the node's clouds are those of a fresh node."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import SECOND, node_bench
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger
from test_fresh_start import FURTHER, N_SCANS, START, STEP, drive

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.pointcloud.codec import PROBABILITY_FIELD, read_labels
from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.ros.node import load_segmenter
from kdmos_ros.ros.qos import profile

pytestmark = pytest.mark.slow

NEXT = START + N_SCANS * STEP


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


class Robot:
    """A node in the state of having just been started, and who talks to it."""

    def __init__(self, bench, model, **parameters):
        self.node, self.client, _ = bench(
            load=load_segmenter, model=str(model), provider="cpu", num_threads=1,
            base_to_lidar="0.5 0 1.7", use_sim_time=True, **parameters,
        )  # fmt: skip
        self.clock = self.client.node.create_publisher(Clock, "/clock", profile("reliable", 10))
        self.client.until(self.clock.get_subscription_count, "the clock's subscription")
        self.set_time(1000)

    def set_time(self, second):
        message = Clock()
        message.clock.sec = second
        self.clock.publish(message)
        self.client.until(
            lambda: self.node.get_clock().now().nanoseconds == second * SECOND, "the time"
        )

    def run(self, seed, start, offset=0.0):
        """Labels and probabilities of a drive that starts at a stamp and place."""
        client = self.client
        client.until_connected()
        client.labelled.clear()
        for age, pose, cloud in drive(seed):
            client.send_odometry(start + age, make_transform(np.eye(3), [offset, 0, 0]) @ pose)
            client.send_cloud(start + age, cloud)
        client.until(lambda: len(client.labelled) == N_SCANS, "all clouds")
        return [(read_labels(message), probability(message)) for message in client.labelled]

    def close(self):
        """Leave the topics to the next one."""
        self.node.stop()
        self.client.until(
            lambda: not self.client.node.count_subscribers("/points"), "the node's end"
        )


def probability(message):
    layout = read_layout(message)
    return layout.column(layout.find(PROBABILITY_FIELD)).ravel()


def same(found, expected):
    return all(
        np.array_equal(labels, wanted) and np.array_equal(p, wanted_p)
        for (labels, p), (wanted, wanted_p) in zip(found, expected, strict=True)
    )


def nothing(robot):
    """So that the clouds before matter."""


def reset(robot):
    caller = robot.client.node.create_client(Trigger, "/mos_node/reset")
    robot.client.until(caller.service_is_ready, "the service")
    future = caller.call_async(Trigger.Request())
    robot.client.until(future.done, "the answer")
    assert future.result().success


def simulated_time_jumps_back(robot):
    robot.set_time(500)


def reactivate(robot):
    robot.node.trigger_deactivate()
    gone = robot.client.node.count_subscribers
    robot.client.until(lambda: not gone("/points") and not gone("/odom"), "the subscriptions' end")
    robot.node.trigger_activate()


def clean_up(robot):
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    gone = robot.client.node.count_publishers
    robot.client.until(lambda: not gone("/mos_node/labeled"), "the publishers' end")
    robot.node.trigger_configure()
    robot.node.trigger_activate()


@pytest.mark.parametrize(
    ("disturb", "start", "offset"),
    [
        pytest.param(nothing, NEXT, FURTHER, id="undisturbed"),
        (reset, NEXT, FURTHER),
        (simulated_time_jumps_back, NEXT, FURTHER),
        (reactivate, NEXT, FURTHER),
        (clean_up, NEXT, FURTHER),
        pytest.param(nothing, START, 0.0, id="bag_loops"),
        pytest.param(nothing, 17 * SECOND, 0.0, id="sensor_counts_from_its_start"),
        pytest.param(nothing, START + 60 * SECOND, 0.0, id="sensor_was_off"),
        pytest.param(nothing, NEXT, 50.0, id="relocalised"),
    ],
)
def test_output_equals_that_of_a_fresh_node(bench, tiny_model, disturb, start, offset):
    used = Robot(bench, tiny_model)
    used.run(1, START)
    disturb(used)
    found = used.run(2, start, offset)
    used.close()
    fresh = Robot(bench, tiny_model)
    expected = fresh.run(2, start, offset)
    undisturbed = disturb is nothing and (start, offset) == (NEXT, FURTHER)
    assert same(found, expected) == (not undisturbed)


def test_another_model_answers_as_if_it_had_always_been_there(bench, tiny_model, other_tiny_model):
    used = Robot(bench, tiny_model)
    used.run(1, START)
    (result,) = used.node.set_parameters([Parameter("model", value=str(other_tiny_model))])
    assert result.successful
    used.client.until_status(event__reset=1, model_refused="")  # both are called "tiny"
    found = used.run(2, NEXT, FURTHER)
    used.close()
    fresh = Robot(bench, other_tiny_model)
    assert same(found, fresh.run(2, NEXT, FURTHER))
