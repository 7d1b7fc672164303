"""What GPUs run of ONNX, from the published tables. Nothing here was run on a GPU.

CUDA: ONNX Runtime, docs/OperatorKernels.md, section CUDAExecutionProvider.
TensorRT: onnx-tensorrt, docs/operators.md for TensorRT 10.0 (opsets 9 to 20).
"""

import onnx
from onnx import TensorProto

TENSORRT_OPSETS = range(9, 21)
# In both tables for float32, at the opset of the export (17), without data-dependent shapes.
OPERATORS = {
    *("Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Constant", "ConstantOfShape"),
    *("Conv", "ConvTranspose", "DepthToSpace", "Div", "Gather", "Gemm", "GridSample", "Identity"),
    *("LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Reshape", "Resize"),
    *("Sigmoid", "Slice", "Softmax", "Squeeze", "Transpose", "Unsqueeze"),
}
# CUDA has a kernel for float32 only.
SINGLE_PRECISION = {"GridSample"}
_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL}
# TensorRT: these inputs must be known when the engine is built.
_CONSTANT = {"Slice": (1, 2, 3, 4), "Squeeze": (1,), "Unsqueeze": (1,), "Reshape": (1,)}


def problems(path):
    """What in a graph would not run on CUDA or TensorRT, as a list of texts."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph, found = model.graph, []
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset not in TENSORRT_OPSETS:
        found.append(f"opset {opset}")
    values = [*graph.input, *graph.output, *graph.value_info]
    types = {v.name: v.type.tensor_type for v in values}
    kinds = {name: t.elem_type for name, t in types.items()}
    kinds.update({w.name: w.data_type for w in graph.initializer})
    constant = {w.name for w in graph.initializer}
    constant |= {name for n in graph.node if n.op_type == "Constant" for name in n.output}
    for node in graph.node:
        what = f"{node.op_type} {node.name}"
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            found.append(f"{what}: no such operator there")
        used = {kinds[name] for name in [*node.input, *node.output] if name in kinds}
        if used - _TYPES:
            found.append(f"{what}: numbers of type {sorted(used - _TYPES)}")
        if node.op_type in SINGLE_PRECISION and TensorProto.FLOAT16 in used:
            found.append(f"{what}: float16")
        for place in _CONSTANT.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] not in constant:
                found.append(f"{what}: input {place} is not constant")
        if node.op_type == "GridSample" and len(types[node.input[0]].shape.dim) != 4:
            found.append(f"{what}: not four-dimensional")
        if node.op_type == "MaxPool" and len(node.output) > 1:
            found.append(f"{what}: gives indices")
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Resize" and attributes.get("mode") not in (b"linear", b"nearest"):
            found.append(f"{what}: mode {attributes.get('mode')}")
    return found
