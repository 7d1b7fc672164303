"""States of the node, and the model it holds: loaded, changed, refused, freed."""

import weakref

import numpy as np
import pytest
from cloud_harness import make_cloud

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import SECOND, START, FakeSegmenter, label_cloud, node_bench, pose
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from kdmos_ros.errors import KdmosError


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


def test_life_cycle(bench):
    node, client, segmenter = bench(start=False, autostart=False)
    client.until_status(state="unconfigured")
    assert client.node.count_subscribers("/points") == 0

    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    client.until_status(state="inactive", model="fake")
    (refused,) = node.set_parameters([Parameter("cloud_depth", value=3)])
    assert not refused.successful
    assert "clean it up first" in refused.reason
    assert node.set_parameters([Parameter("pose_timeout", value=3.0)])[0].successful

    for round_ in (1, 2):
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        client.until_connected()
        client.until_status(state="active")
        stamp = START + round_ * SECOND
        client.send_odometry(stamp, pose(0))
        client.send_cloud(stamp, make_cloud()[0])
        client.until(lambda n=round_: len(client.labelled) == n, "the labelled cloud")
        assert segmenter.resets == round_
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        client.until(lambda: client.node.count_subscribers("/points") == 0, "no subscription")

    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    client.until_status(state="unconfigured", model="")
    assert node.set_parameters([Parameter("cloud_depth", value=3)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


def test_failure_to_load_leaves_a_node_that_can_try_again(bench):
    answers = [KdmosError("no model 'gone'"), ZeroDivisionError("bug"), FakeSegmenter()]

    def load(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    node, client, _ = bench(start=False, load=load)
    with pytest.raises(KdmosError, match="no model 'gone'"):
        node.start()
    client.until_status(state="unconfigured")
    with pytest.raises(KdmosError, match="bug"):
        node.start()
    node.start()
    client.until_status(state="active")


def test_model_changes_while_scans_are_labelled(bench, tiny_model, other_tiny_model):
    made = []

    def load(parameters):
        segmenter = FakeSegmenter()
        segmenter.model_name = parameters["model"]
        made.append(segmenter)
        return segmenter

    node, client, _ = bench(load=load, model=str(tiny_model))

    label_cloud(client, 0)
    (result,) = node.set_parameters([Parameter("model", value=str(other_tiny_model))])
    assert result.successful
    client.until_status(model=other_tiny_model, model_loading=False)
    label_cloud(client, 1)
    assert [len(segmenter.poses) for segmenter in made] == [1, 1]
    np.testing.assert_array_equal(made[1].mount, made[0].mount)


def test_model_that_cannot_be_used_leaves_the_old_one_in_place(bench, tiny_model, tmp_path):
    node, client, _ = bench()
    (result,) = node.set_parameters([Parameter("model", value=str(tmp_path))])
    assert not result.successful
    assert str(tmp_path) in result.reason

    # One whose damage shows only when it is loaded.
    node._reloader._load = lambda parameters: (_ for _ in ()).throw(KdmosError("graph is odd"))
    assert node.set_parameters([Parameter("model", value=str(tiny_model))])[0].successful
    client.until_status(model="fake", model_refused="graph is odd", model_loading=False)
    assert node.parameters["model"] == ""
    label_cloud(client, 0)


def test_clean_up_frees_the_model(bench):
    class Large(FakeSegmenter):
        pass

    node, client, _ = bench(load=lambda _: Large())
    label_cloud(client, 0)
    held = weakref.ref(node._session._pipeline._segmenter), weakref.ref(node._session)
    assert all(reference() is not None for reference in held)
    node.trigger_deactivate()
    node.trigger_cleanup()
    client.until_status(state="unconfigured")
    assert [reference() for reference in held] == [None, None]


def test_reset_service(bench):
    node, client, segmenter = bench()
    caller = client.node.create_client(Trigger, "/mos_node/reset")
    client.until(caller.service_is_ready, "the service")

    def call():
        future = caller.call_async(Trigger.Request())
        client.until(future.done, "the answer")
        return future.result()

    before = segmenter.resets
    assert call().success
    label_cloud(client, 0)
    assert segmenter.resets == before + 1
    node.trigger_deactivate()
    assert not call().success
