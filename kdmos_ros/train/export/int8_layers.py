"""A grid network's layers as INT8 kernels run them fastest: same weights, same values.

What `lean_layers` does for single precision is undone: two convolutions and their sum become one
convolution of the joined maps. Joining bytes is cheap, and the sum would be worked out in single
precision. And means over windows become convolutions, which ONNX Runtime has fast INT8 kernels for:
its own kernel for INT8 means takes six times as long.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def for_int8(model: onnx.ModelProto) -> None:
    """Rewrite a grid network, as `onnx_export` writes it, in place."""
    join_split_convolutions(model)
    average_by_convolutions(model)


def average_by_convolutions(model: onnx.ModelProto) -> None:
    """Replace each mean over windows that do not leave the map, in place.

    A model to which shapes cannot be inferred keeps them.
    """
    graph = model.graph
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
        if len(value.type.tensor_type.shape.dim) == 4
    }
    for node in [node for node in graph.node if node.op_type == "AveragePool"]:
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        n, window = channels.get(node.input[0], 0), options["kernel_shape"]
        if not n or any(options.get("pads", ())) or options.get("ceil_mode"):
            continue
        share = np.full((n, 1, *window), 1 / np.prod(window), np.float32)
        kernel = numpy_helper.from_array(share, f"{node.name}/kernels")
        mean = helper.make_node(
            "Conv",
            [node.input[0], kernel.name],
            node.output,
            node.name,
            group=n,
            kernel_shape=window,
            strides=options.get("strides", [1, 1]),
        )
        graph.initializer.append(kernel)
        at = list(graph.node).index(node)
        graph.node.remove(node)
        graph.node.insert(at, mean)


def first_layers(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that the network's inputs pass before they are pooled."""
    graph = model.graph
    early, constant = {v.name for v in graph.input}, {w.name for w in graph.initializer}
    found: list[str] = []
    for node in graph.node:
        inputs = {name for name in node.input if name} - constant
        if not inputs:
            constant.update(node.output)
        elif inputs <= early and node.op_type != "MaxPool":
            early.update(node.output)
            found.append(node.name)
    return found


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
