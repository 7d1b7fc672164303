"""What GPUs run of ONNX, from the published tables. Nothing here was run on a GPU.

CUDA: ONNX Runtime, docs/OperatorKernels.md, section CUDAExecutionProvider, domain ai.onnx; the
maximum of ScatterElements since ONNX Runtime 1.18 (pull request 19198).
TensorRT: onnx-tensorrt, docs/operators.md for TensorRT 10.0 (opsets 9 to 20).

Needs the package onnx.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto

TENSORRT_OPSETS = range(9, 21)
_HALF, _SINGLE, _INT, _BOOL, _BYTE = (
    *(TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.INT64),
    *(TensorProto.BOOL, TensorProto.UINT8),
)
_REAL = {_HALF, _SINGLE}
_NUMBERS = {*_REAL, _INT}
_ALL = {*_NUMBERS, _BOOL, _BYTE}
# Operator: the first opset with a CUDA kernel, and the types among those that graphs of this
# package can have; of indices, shapes and results of comparisons, too.
CUDA = {
    "Add": (7, _NUMBERS),
    "AveragePool": (7, _REAL),
    "BatchNormalization": (7, _REAL),
    "Cast": (6, _ALL),
    "Clip": (6, _REAL),
    "Concat": (4, _ALL),
    "Constant": (1, _ALL),
    "ConstantOfShape": (9, _ALL),
    "Conv": (1, _REAL),
    "ConvTranspose": (1, _REAL),
    "DepthToSpace": (1, _REAL),
    "Div": (7, _NUMBERS),
    "Floor": (6, _REAL),
    "Gather": (1, _ALL),
    "Gemm": (7, _REAL),
    "Greater": (7, {*_NUMBERS, _BOOL}),
    "GreaterOrEqual": (12, {*_NUMBERS, _BOOL}),
    "GridSample": (16, {_SINGLE}),
    "Identity": (1, _ALL),
    "LeakyRelu": (6, _REAL),
    "MatMul": (1, _REAL),
    "MaxPool": (1, _REAL),
    "Mul": (7, _NUMBERS),
    "Pad": (2, _NUMBERS),
    "ReduceMean": (1, _REAL),
    "ReduceSum": (1, _NUMBERS),
    "Relu": (6, _REAL),
    "Reshape": (5, _ALL),
    "Resize": (10, _NUMBERS),
    "ScatterElements": (18, _ALL),  # with a maximum
    "Sigmoid": (6, _REAL),
    "Slice": (1, _ALL),
    "Softmax": (1, _REAL),
    "Squeeze": (1, _ALL),
    "Sub": (7, _NUMBERS),
    "Transpose": (1, _ALL),
    "Unsqueeze": (1, _ALL),
    "Where": (9, _ALL),
}
# TensorRT: these inputs must be known when the engine is built.
_CONSTANT = {"Slice": (1, 2, 3, 4), "Squeeze": (1,), "Unsqueeze": (1,), "Reshape": (1,)}


def operators(path: Path) -> list[tuple[str, int, str, int]]:
    """(operator, opset, types, number of nodes) of a graph, by name."""
    model, kinds = _read(path)
    counts: dict[tuple[str, int, str], int] = {}
    for node in model.graph.node:
        names = {TensorProto.DataType.Name(kind).lower() for kind in _used(node, kinds)}
        key = (node.op_type, _opset(model), ", ".join(sorted(names)))
        counts[key] = counts.get(key, 0) + 1
    return [(*key, n) for key, n in sorted(counts.items())]


def problems(path: Path, tensorrt: bool = True) -> list[str]:
    """What in a graph would not run on CUDA, nor on TensorRT, as texts.

    Args:
        tensorrt: False: the graph is for CUDA only.
    """
    model, kinds = _read(path)
    graph, found, opset = model.graph, [], _opset(model)
    if tensorrt and opset not in TENSORRT_OPSETS:
        found.append(f"opset {opset}")
    shapes = {v.name: v.type.tensor_type.shape.dim for v in [*graph.input, *graph.value_info]}
    constant = {w.name for w in graph.initializer}
    constant |= {name for n in graph.node if n.op_type == "Constant" for name in n.output}
    for node in graph.node:
        what = f"{node.op_type} {node.name}"
        if node.domain not in ("", "ai.onnx") or node.op_type not in CUDA:
            found.append(f"{what}: no such operator there")
            continue
        since, types = CUDA[node.op_type]
        if opset < since:
            found.append(f"{what}: opset {opset}, there since {since}")
        for kind in sorted(_used(node, kinds) - types):
            name = TensorProto.DataType.Name(kind).lower()
            found.append(f"{what}: numbers of type {name}")
        for place in _CONSTANT.get(node.op_type, ()) if tensorrt else ():
            if place < len(node.input) and node.input[place] not in constant:
                found.append(f"{what}: input {place} is not constant")
        if node.op_type == "GridSample" and len(shapes[node.input[0]]) != 4:
            found.append(f"{what}: not four-dimensional")
        if node.op_type == "MaxPool" and len(node.output) > 1:
            found.append(f"{what}: gives indices")
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Resize" and attributes.get("mode") not in (b"linear", b"nearest"):
            found.append(f"{what}: mode {attributes.get('mode')}")
    return found


def _read(path: Path) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A graph, and the types of what is in it by name."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    kinds = {v.name: v.type.tensor_type.elem_type for v in values}
    kinds.update({w.name: w.data_type for w in graph.initializer})
    return model, kinds


def _used(node: onnx.NodeProto, kinds: dict[str, int]) -> set[int]:
    return {kinds[name] for name in [*node.input, *node.output] if name in kinds}


def _opset(model: onnx.ModelProto) -> int:
    (opset,) = (e.version for e in model.opset_import if e.domain in ("", "ai.onnx"))
    return int(opset)
