"""Takes out of an INT8 grid network what rounding shifts all its answers by.

Errors of rounding do not cancel: through ReLUs they add up to a shift of the logit of MOVING by a
tenth or more, which at a fixed threshold adds or loses objects. The median shift over voxels that
may well move is taken from the last layer's bias (bias correction; Nagel et al., ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from kdmos_ros.labels import CLASS_NAMES, MOVABLE, MOVING, STATIC
from kdmos_ros.train.export.calibration_scans import Inputs

# How far the logit of MOVING may lie below the others of a voxel that counts.
_MAY_MOVE = -2.0


def centre(rounded: Path, exact: Path, inputs: Iterable[Inputs]) -> float:
    """Shift the logit of MOVING of a graph in INT8, in place; returns by how much.

    Args:
        rounded, exact: bev.onnx in INT8 and in single precision.
        inputs: scans to compare their answers on.
    """
    sessions = [_session(path) for path in (exact, rounded)]
    shifts = []
    for feeds in inputs:
        before, after = (_lead(session.run(["logits"], feeds)[0]) for session in sessions)
        shifts.append((after - before)[np.maximum(before, after) > _MAY_MOVE])
    found = np.concatenate(shifts)
    shift = float(np.median(found)) if len(found) else 0.0
    model = onnx.load(rounded)
    bias = _last_bias(model.graph)
    values = numpy_helper.to_array(bias).copy()
    values[MOVING :: len(CLASS_NAMES)] -= shift
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, rounded)
    return shift


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _lead(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(K, n_z) of MOVING before the other classes."""
    others = np.logaddexp(logits[..., STATIC], logits[..., MOVABLE])
    return np.asarray(logits[..., MOVING] - others, np.float32)


def _last_bias(graph: Any) -> onnx.TensorProto:
    """The bias (n_z * classes,) of the layer that gives the logits."""
    made_by = {name: node for node in graph.node for name in node.output}
    node = made_by["logits"]
    while node.op_type != "Gemm":
        node = made_by[node.input[0]]
    bias: onnx.TensorProto = next(w for w in graph.initializer if w.name == node.input[2])
    return bias
