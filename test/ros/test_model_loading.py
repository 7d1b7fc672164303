"""While the model loads, a node answers: parameters, states, signals, what comes too early."""

import threading

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_harness import FakeSegmenter, label_cloud, node_bench
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import Parameter

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros import model_loading


@pytest.fixture
def bench():
    with node_bench() as make:
        yield make


class Gate:
    """Loads when it is opened; notes the parameters that it was called with."""

    def __init__(self, problem=None):
        self.opened, self.calls, self.problem = threading.Event(), [], problem

    def __call__(self, parameters):
        self.calls.append(dict(parameters))
        assert self.opened.wait(60)
        if self.problem is not None:
            raise self.problem
        segmenter = FakeSegmenter()
        segmenter.precision = parameters["precision"]
        return segmenter


def call(client, kind, name, request, wait=True):
    """The answer of a service of the node, or what will have it."""
    caller = client.node.create_client(kind, f"/mos_node/{name}")
    client.until(caller.service_is_ready, name)
    future = caller.call_async(request)
    if wait:
        client.until(future.done, f"the answer of {name}")
    return future.result() if wait else future


def change(client, number, wait=True):
    request = ChangeState.Request(transition=Transition(id=number))
    return call(client, ChangeState, "change_state", request, wait)


def state(client):
    return call(client, GetState, "get_state", GetState.Request()).current_state.id


def test_a_manager_waits_for_the_model_and_nobody_else_does(bench):
    gate = Gate()
    _, client, _ = bench(start=False, load=gate, autostart=False)
    answer = change(client, Transition.TRANSITION_CONFIGURE, wait=False)
    client.until(lambda: gate.calls, "the loading")
    found = call(client, GetParameters, "get_parameters", GetParameters.Request(names=["model"]))
    assert len(found.values) == 1
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert not answer.done()
    gate.opened.set()
    client.until(answer.done, "the answer")
    assert answer.result().success
    assert state(client) == State.PRIMARY_STATE_INACTIVE
    assert change(client, Transition.TRANSITION_ACTIVATE).success
    client.until_connected()
    label_cloud(client, 0)
    assert len(gate.calls) == 1


def test_a_manager_is_told_that_it_failed_and_may_try_again(bench):
    gate = Gate(KdmosError("no model 'gone'"))
    gate.opened.set()
    node, client, _ = bench(start=False, load=gate, autostart=False)
    assert not change(client, Transition.TRANSITION_CONFIGURE).success
    assert node._failure == "no model 'gone'"
    gate.problem = None
    assert change(client, Transition.TRANSITION_CONFIGURE).success


@pytest.mark.parametrize("number", [Transition.TRANSITION_ACTIVATE,
                                    Transition.TRANSITION_DEACTIVATE,
                                    Transition.TRANSITION_CLEANUP, 77])  # fmt: skip
def test_a_transition_at_the_wrong_time_is_refused(bench, number):
    _, client, _ = bench(start=False, autostart=False)
    assert not change(client, number).success
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert change(client, Transition.TRANSITION_CONFIGURE).success
    assert not change(client, Transition.TRANSITION_CONFIGURE).success
    assert state(client) == State.PRIMARY_STATE_INACTIVE


def test_a_node_that_starts_by_itself_answers_while_it_loads(bench, capfd, monkeypatch):
    monkeypatch.setattr(model_loading, "_PATIENCE_S", 0.0)
    gate = Gate()
    node, client, _ = bench(start=False, load=gate)
    node.start_aside()
    client.until(lambda: gate.calls, "the loading")
    client.until_status(state="unconfigured")
    client.until(lambda: not node._loading._patient, "the word that it takes long")
    gate.opened.set()
    client.until_status(state="active")
    client.until_connected()
    label_cloud(client, 0)
    log = capfd.readouterr().err
    words = ["loading model 'default'", "the first start after an install compiles",
             "unconfigured -> inactive", "inactive -> active"]  # fmt: skip
    places = [log.find(word) for word in words]
    assert -1 not in places and places == sorted(places), log


def test_what_was_changed_meanwhile_is_loaded_instead(bench):
    gate = Gate()
    node, client, _ = bench(start=False, load=gate)
    node.start_aside()
    client.until(lambda: gate.calls, "the loading")
    assert node.set_parameters([Parameter("precision", value="int8")])[0].successful
    gate.opened.set()
    client.until_status(state="active", precision="int8")
    assert [found["precision"] for found in gate.calls] == ["auto", "int8"]


def test_failing_to_start_ends_spinning(bench):
    gate = Gate(KdmosError("no model 'gone'"))
    gate.opened.set()
    node, client, _ = bench(start=False, load=gate)
    node.start_aside()
    with pytest.raises(KdmosError, match="no model 'gone'"):
        client.until_status(state="active")


def test_stopping_does_not_wait_for_the_model(bench):
    gate = Gate()
    node, client, _ = bench(start=False, load=gate)
    node.start_aside()
    client.until(lambda: gate.calls, "the loading")
    node.stop()
    gate.opened.set()
    client.until_status(state="unconfigured")
    assert client.node.count_subscribers("/points") == 0


def test_a_provider_that_is_not_there_is_a_warning_at_start_and_later(bench, capfd):
    def load(parameters):
        segmenter = FakeSegmenter()
        segmenter.fell_back = parameters["provider"] == "cuda"
        return segmenter

    node, client, _ = bench(load=load, provider="cuda")
    expected = "model fake runs on CPUExecutionProvider in fp32, not on cuda as asked for"

    def warned():
        lines = [line for line in capfd.readouterr().err.splitlines() if expected in line]
        assert all("[WARN]" in line for line in lines)
        return bool(lines)

    assert warned()
    assert node.set_parameters([Parameter("provider", value="cpu")])[0].successful
    client.until_status(model_loading=False, event__reset=1)
    assert not warned()
    assert node.set_parameters([Parameter("provider", value="cuda")])[0].successful
    client.until(warned, "the warning")
