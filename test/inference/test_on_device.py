"""The GPU's way through the graphs, with tensors in the CPU's memory, against the CPU's way."""

import numpy as np
import onnxruntime
import pytest
from tiny_model_harness import make_tiny_model

from kdmos_ros.errors import ModelError
from kdmos_ros.evaluation.provider_check import random_frame as frame
from kdmos_ros.inference import on_device as module
from kdmos_ros.inference.engine import Engine
from kdmos_ros.inference.model import find_model
from kdmos_ros.inference.on_device import ASKING_READ_GRAPH, READ_GRAPH, SCATTER_GRAPH
from kdmos_ros.labels import MOVING
from kdmos_ros.segmentation.read_out import NO_EVIDENCE, gather

# Both ways compute in single precision; sums are only taken in other orders.
TOLERANCE = 1e-5


def on_the_cpu(engine, this):
    read = engine.run(this, {})
    if not this.n_past:
        read.logits[..., MOVING] = NO_EVIDENCE
    n, threshold = this.n_points, engine.spec.moving_threshold
    labels, probability = np.zeros(n, np.uint8), np.zeros(n, np.float32)
    asked = read.logits, read.query, read.key
    gather(*asked, this.slot, this.z_bin, this.index, threshold, labels, probability)
    return labels, probability


def assert_same(engine, bound, this):
    threshold = engine.spec.moving_threshold
    timings = {}
    labels, probability = bound.on_device.run(this, threshold, timings)
    expected_labels, expected = on_the_cpu(engine, this)
    assert labels.dtype == np.uint8 and probability.dtype == np.float32
    np.testing.assert_allclose(probability, expected, atol=TOLERANCE)
    sure = np.abs(expected - threshold) > TOLERANCE
    # static and movable may be as near to each other
    assert np.mean(labels[sure] != expected_labels[sure]) <= 1e-4
    np.testing.assert_array_equal((labels == MOVING)[sure], (expected_labels == MOVING)[sure])
    assert set(timings) == {"upload", "encoder", "scatter", "bev", "gather"}


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(module, "_POINTS_STEP", 100)
    monkeypatch.setattr(module, "_USUAL_POINTS", 300)


@pytest.fixture
def engines(tiny_model, small_steps):
    return Engine(tiny_model, "cpu", 1), Engine(tiny_model, "cpu", 1, options="binding=on")


def test_the_shipped_model_gives_the_same_on_both_ways():
    folder = find_model()
    engine = Engine(folder, "cpu", 1, "fp32")
    bound = Engine(folder, "cpu", 1, "fp32", "binding=on")
    assert engine.on_device is None
    assert_same(engine, bound, frame(engine.spec, 20000, 1))


@pytest.mark.parametrize("n_past", [1, 0])
def test_sizes_follow_each_other_in_any_order(engines, n_past):
    engine, bound = engines
    for n in (290, 30, 170, 200, 1, 290):
        assert_same(engine, bound, frame(engine.spec, n, n, n_past))
        if not n_past:
            labels, probability = bound.on_device.run(frame(engine.spec, n, n, 0), 0.5, {})
            assert not probability.any() and not (labels == MOVING).any()


def test_queries_take_the_same_way(tmp_path, small_steps):
    folder = make_tiny_model(tmp_path / "m", query_width=5)
    engine, bound = Engine(folder, "cpu", 1), Engine(folder, "cpu", 1, options="binding=on")
    for n in (290, 30, 170):
        assert_same(engine, bound, frame(engine.spec, n, n))


def test_tensors_stay_where_they_are_once_it_is_warm(engines):
    """A CUDA graph is replayed on the addresses that it was recorded with."""
    _, bound = engines
    device = bound.on_device
    device.warm_up()
    for n in (150, 250):
        device.run(frame(bound.spec, n, n), 0.5, {})
    before = {key: value.data_ptr() for key, value in device._tensors.items()}
    for n in (30, 299, 150):
        device.run(frame(bound.spec, n, n), 0.5, {})
    assert {key: value.data_ptr() for key, value in device._tensors.items()} == before


def test_each_size_of_a_stage_has_a_cuda_graph_of_its_own(engines):
    _, bound = engines
    bound.on_device._cuda_graphs = True  # the CPU's sessions take no notice
    bound.on_device.warm_up()
    numbers = {}
    for (stage, _, _), (_, options) in bound.on_device._bindings.items():
        numbers.setdefault(stage, []).append(options.get_run_config_entry("gpu_graph_id"))
    for stage, used in numbers.items():
        assert len(set(used)) == len(used), stage
        assert not {"0", "-1"} & set(used), "0 is the default, -1 records none"


def test_a_device_that_fails_is_one_clear_error(engines):
    _, bound = engines
    wrong = frame(bound.spec, 10, 1)
    wrong.cell[:] = bound.spec.grid.n_cells + 7
    with pytest.raises(ModelError, match="cpu cannot run the model: "):
        bound.on_device.run(wrong, 0.5, {})


def test_options_for_a_gpu_do_not_hinder_the_fall_back(tiny_model, monkeypatch):
    names = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    engine = Engine(tiny_model, "cuda", 1, options="cuda_graphs=on,device=1")
    assert engine.fell_back and engine.on_device is None


def test_the_shipped_graphs_are_those_of_the_code():
    onnx = pytest.importorskip("onnx")
    from kdmos_ros.train.export.on_device_graphs import read_graph, scatter_graph

    asking = ASKING_READ_GRAPH, read_graph(asking=True)
    for path, made in ((SCATTER_GRAPH, scatter_graph()), (READ_GRAPH, read_graph()), asking):
        assert onnx.load(str(path)) == made, f"{path.name}: run train.export.on_device_graphs"
