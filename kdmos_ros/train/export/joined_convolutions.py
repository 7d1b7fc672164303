"""Undoes what `lean_layers` does for single precision and what INT8 is faster without.

Two convolutions and their sum become one convolution of the joined maps: joining bytes is cheap,
and the sum would be worked out in single precision.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def join_split_convolutions(model: onnx.ModelProto) -> None:
    """Replace each sum of two 3x3 convolutions, one of them without a bias, in place.

    Args:
        model: a grid network as `onnx_export` writes it.
    """
    graph = model.graph
    weights = {entry.name: entry for entry in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    for total in [node for node in graph.node if node.op_type == "Add"]:
        first, second = (made_by.get(name) for name in total.input)
        if first is None or second is None or not _is_split(first, second, weights):
            continue
        kernels = [numpy_helper.to_array(weights[part.input[1]]) for part in (first, second)]
        maps, kernel = f"{first.name}/maps", f"{first.name}/kernels"
        joined = numpy_helper.from_array(np.concatenate(kernels, axis=1), kernel)
        graph.initializer.append(joined)
        nodes = [
            helper.make_node("Concat", [first.input[0], second.input[0]], [maps], maps, axis=1),
            helper.make_node("Conv", [maps, kernel, second.input[2]], total.output, second.name),
        ]
        nodes[1].attribute.extend(second.attribute)
        _replace(graph, (first, second, total), nodes)


def _is_split(
    first: onnx.NodeProto, second: onnx.NodeProto, weights: dict[str, onnx.TensorProto]
) -> bool:
    if first.op_type != "Conv" or second.op_type != "Conv":
        return False
    known = all(name in weights for node in (first, second) for name in node.input[1:])
    return known and (len(first.input), len(second.input)) == (2, 3)


def _replace(
    graph: onnx.GraphProto, old: tuple[onnx.NodeProto, ...], new: list[onnx.NodeProto]
) -> None:
    """Nodes in place of others, where the last of those stood."""
    at = list(graph.node).index(old[-1])
    for node in reversed(new):
        graph.node.insert(at, node)
    for node in old:
        graph.node.remove(node)
    for name in old[0].input[1], old[1].input[1]:
        graph.initializer.remove(next(w for w in graph.initializer if w.name == name))
