"""CUDA and TensorRT as far as a machine without a GPU can tell: operators, opset, types."""

import shutil

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from kdmos_ros.inference.gpu_operators import CUDA, operators, problems  # noqa: E402
from kdmos_ros.inference.model import GRAPHS, graph_file, load_spec  # noqa: E402
from kdmos_ros.inference.on_device import ASKING_READ_GRAPH, READ_GRAPH, SCATTER_GRAPH  # noqa: E402
from kdmos_ros.resources import share_dir  # noqa: E402

SHIPPED = sorted(path.parent for path in (share_dir() / "models").glob("*/model.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_graphs_run_on_gpus(folder):
    spec = load_spec(folder)
    for precision in {"fp32", "fp16"} & set(spec.precisions):
        for graph in GRAPHS:
            assert problems(folder / spec.graph_in(graph, precision)) == []


@pytest.mark.parametrize(
    "path", [SCATTER_GRAPH, READ_GRAPH, ASKING_READ_GRAPH], ids=lambda path: path.name
)
def test_the_graphs_between_run_on_cuda(path):
    """Not on TensorRT: it has a maximum in ScatterElements by a plug-in only."""
    assert problems(path, tensorrt=False) == []


def test_every_operator_of_the_shipped_graphs_is_listed(tmp_path):
    for folder in SHIPPED:
        for graph in GRAPHS:
            nodes = onnx.load(folder / graph).graph.node
            listed = operators(folder / graph)
            assert sum(count for *_, count in listed) == len(nodes)
            assert {name for name, *_ in listed} <= set(CUDA)
    assert ("ScatterElements", 18, "float, int64", 1) in operators(SCATTER_GRAPH)


def test_half_precision_made_now_runs_on_gpus(tiny_model, tmp_path):
    pytest.importorskip("torch", reason="a tiny model is exported with torch")
    from kdmos_ros.train.export.quantize import halve

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    halve(folder)
    for graph in GRAPHS:
        assert problems(folder / graph_file(graph, "fp16")) == []


def make(tmp_path, *nodes, kind=TensorProto.FLOAT, shape=(1, 2, 4, 4), weights=(), opset=17):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        weights,
    )
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def grid(kind):
    return onnx.numpy_helper.from_array(np.zeros((1, 2, 2, 2), kind), "grid")


def test_what_does_not_run_there_is_found(tmp_path):
    relu = helper.make_node("Relu", ["x"], ["y"], name="n")
    assert problems(make(tmp_path, relu)) == []
    assert problems(make(tmp_path, relu, opset=21)) == ["opset 21"]
    unique = helper.make_node("Unique", ["x"], ["y"], name="n")
    assert problems(make(tmp_path, unique)) == ["Unique n: no such operator there"]
    assert "numbers of type" in problems(make(tmp_path, relu, kind=TensorProto.DOUBLE))[0]


def test_half_precision_look_ups_are_found(tmp_path):
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], name="n")
    assert problems(make(tmp_path, node, weights=[grid(np.float32)])) == []
    half = make(tmp_path, node, kind=TensorProto.FLOAT16, weights=[grid(np.float32)])
    assert problems(half) == ["GridSample n: numbers of type float16"]


def test_a_maximum_before_its_opset_is_found(tmp_path):
    node = helper.make_node("ScatterElements", ["x", "at", "x"], ["y"], name="n")
    at = onnx.numpy_helper.from_array(np.zeros((1, 2, 4, 4), np.int64), "at")
    assert problems(make(tmp_path, node, weights=[at], opset=18), tensorrt=False) == []
    found = problems(make(tmp_path, node, weights=[at], opset=17))
    assert found == ["ScatterElements n: opset 17, there since 18"]
