"""Makes the small graphs that join a model's networks on a GPU: see `inference.on_device`.

They hold no weights and fit every model. `python3 -m kdmos_ros.train.export.on_device_graphs`
writes the files that the package ships, so that running them does not need the package onnx.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kdmos_ros.inference.on_device import ASKING_READ_GRAPH, READ_GRAPH, SCATTER_GRAPH
from kdmos_ros.labels import CLASS_NAMES, MOVABLE, MOVING, STATIC

OPSET = 18
"""The first in which ScatterElements has a maximum. ONNX Runtime 1.18+ has it on CUDA (#19198)."""
_IR_VERSION = 8


def scatter_graph() -> onnx.ModelProto:
    """embedding (P, C), cell (P, 1), columns (1, C) zeros, empty (n_cells, C) zeros -> appearance.

    The cells are spread over the channels by adding zeros: unlike Expand, that needs no shape,
    which would be worked out on the CPU and stand in the way of CUDA graphs.
    """
    nodes = [
        helper.make_node("Add", ["cell", "columns"], ["indices"], "spread"),
        helper.make_node(
            "ScatterElements",
            ["empty", "indices", "embedding"],
            ["appearance"],
            "scatter",
            axis=0,
            reduction="max",
        ),
    ]
    inputs = [
        _value("embedding", TensorProto.FLOAT, "points", "channels"),
        _value("cell", TensorProto.INT64, "points", 1),
        _value("columns", TensorProto.INT64, 1, "channels"),
        _value("empty", TensorProto.FLOAT, "cells", "channels"),
    ]
    outputs = [_value("appearance", TensorProto.FLOAT, "cells", "channels")]
    return _model(nodes, inputs, outputs, [], "scatter")


def read_graph(asking: bool = False) -> onnx.ModelProto:
    """logits (K, n_z, classes), voxel (P,), bias (1, 3), threshold (1,) -> label, probability.

    As `read_out.gather`. `bias` is added to the logits of static, movable and moving.

    Args:
        asking: for models with queries: also point_query (P, Q), cell_key (K, Q) and slot (P,), the
            row of a point's cell.
    """
    order = (STATIC, MOVABLE, MOVING)
    assert len(CLASS_NAMES) == 4 and order == (1, 2, 3)
    constants = {
        "rows": np.array([-1, len(CLASS_NAMES)], np.int64),
        "known": np.array(order, np.int64),
        **{f"place_{c}": np.array(i, np.int64) for i, c in enumerate(order)},
        **{f"label_{c}": np.array(c, np.uint8) for c in order},
    }

    if asking:
        constants["of_moving"] = np.array([[c == MOVING for c in order]], np.float32)
        constants["channels"] = np.array([1], np.int64)

    def node(kind: str, inputs: str, output: str, **attributes: int) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], output, **attributes)

    nodes = [
        node("Reshape", "logits rows", "voxels"),
        node("Gather", "voxels voxel", "points", axis=0),
        node("Gather", "points known", "scores", axis=1),
        node("Add", "scores bias", "biased"),
        *(_answers(node) if asking else ()),
        node("Softmax", "answered" if asking else "biased", "shares", axis=1),
        node("Gather", f"shares place_{STATIC}", "static", axis=1),
        node("Gather", f"shares place_{MOVABLE}", "movable", axis=1),
        node("Gather", f"shares place_{MOVING}", "probability", axis=1),
        node("Greater", "movable static", "may_move"),
        node("Where", f"may_move label_{MOVABLE} label_{STATIC}", "stands"),
        node("GreaterOrEqual", "probability threshold", "moves"),
        node("Where", f"moves label_{MOVING} stands", "label"),
    ]
    inputs = [
        _value("logits", TensorProto.FLOAT, "cells", "bins", len(CLASS_NAMES)),
        _value("voxel", TensorProto.INT64, "points"),
        _value("bias", TensorProto.FLOAT, 1, len(order)),
        _value("threshold", TensorProto.FLOAT, 1),
    ]
    if asking:
        inputs += [
            _value("point_query", TensorProto.FLOAT, "points", "channels"),
            _value("cell_key", TensorProto.FLOAT, "cells", "channels"),
            _value("slot", TensorProto.INT64, "points"),
        ]
    outputs = [
        _value("label", TensorProto.UINT8, "points"),
        _value("probability", TensorProto.FLOAT, "points"),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _model(nodes, inputs, outputs, weights, "read")


def _answers(node: Callable[..., onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Adds the product of query and key to the logit of moving: biased -> answered."""
    return [
        node("Gather", "cell_key slot", "keys", axis=0),
        node("Mul", "point_query keys", "products"),
        node("ReduceSum", "products channels", "product", keepdims=1),
        node("Mul", "product of_moving", "more"),
        node("Add", "biased more", "answered"),
    ]


def _value(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto],
    name: str,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
    model.producer_name = "kdmos_ros"
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    SCATTER_GRAPH.parent.mkdir(exist_ok=True)
    SCATTER_GRAPH.write_bytes(scatter_graph().SerializeToString())
    READ_GRAPH.write_bytes(read_graph().SerializeToString())
    ASKING_READ_GRAPH.write_bytes(read_graph(asking=True).SerializeToString())
