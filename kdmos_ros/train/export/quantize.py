"""A model's grid network in other precisions: INT8 by static quantisation, and half precision.

INT8: convolutions and what hands their maps on (_QUANTIZED), weights a channel at a time,
activations with ranges measured on drives; everything else stays in single precision, which keeps
the accuracy and lets runtimes fuse. So does all before the maps are pooled: single cells of them
are far out, and steps as large as those need would be three times as rough for all others.
The point encoder stays in single precision: its cost is memory traffic, not arithmetic.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from kdmos_ros.errors import KdmosError
from kdmos_ros.inference.model import GRAPHS, ModelSpec, graph_file, load_spec, save_spec
from kdmos_ros.train.export.calibration_scans import Inputs
from kdmos_ros.train.export.int8_bias import centre
from kdmos_ros.train.export.int8_layers import first_layers, for_int8

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
BEV = GRAPHS[1]
# A ReLU that is named vanishes into the convolution before it, whose steps then need not reach
# below zero: two thirds of the error, and no pass over the map for it.
_QUANTIZED = ["Conv", "Relu", "MaxPool", "Resize", "Concat"]
_PERCENTILE = 99.999  # of the absolute values of a tensor


def quantize(
    folder: Path,
    inputs: Iterable[Inputs],
    method: str = "minmax",
    keep: Sequence[str] = (),
    note: dict[str, Any] | None = None,
) -> ModelSpec:
    """Write bev.int8.onnx into a model folder and note it in model.json.

    Args:
        folder: the model.
        inputs: of bev.onnx, to set the ranges by; see `train.calibration`.
        method: one of METHODS.
        keep: beginnings of names of convolutions that stay in single precision, beside the first
            ones (see `int8_layers.first_layers`).
        note: how it was made, for model.json: training["int8"].

    Returns:
        The specification as written.

    Raises:
        KdmosError: the folder is no usable model, or `keep` fits no convolution.
    """
    spec = load_spec(folder)
    source, scans = folder / BEV, list(inputs)
    model = onnx.load(source)
    for_int8(model)
    convolutions = [n.name for n in model.graph.node if n.op_type == "Conv"]
    kept = [name for name in convolutions if name.startswith(tuple(keep))]
    for prefix in keep:
        if not any(name.startswith(prefix) for name in convolutions):
            raise KdmosError(f"{source}: no convolution is called {prefix}...")
    target = folder / graph_file(BEV, "int8")
    part = target.with_name(target.name + ".part")
    try:
        with _quiet():
            quantize_static(
                model,
                str(part),
                _Reader(scans),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_QUANTIZED,
                nodes_to_exclude=[*kept, *first_layers(model)],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=METHODS[method],
                extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},
            )
            shift = centre(part, source, scans)
        onnx.checker.check_model(onnx.load(part))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return _noted(spec, folder, "int8", {**(note or {}), "centred_by": round(-shift, 4)})


def halve(folder: Path) -> ModelSpec:
    """Write encoder.fp16.onnx and bev.fp16.onnx into a model folder and note them in model.json.

    For GPUs. Inputs and outputs stay float32. Means over a map stay in single precision: their
    sums leave half precision's range.

    Raises:
        KdmosError: the folder is no usable model.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    spec = load_spec(folder)
    for graph in GRAPHS:
        target = folder / graph_file(graph, "fp16")
        part = target.with_name(target.name + ".part")
        try:
            with _quiet():
                model = convert_float_to_float16(
                    onnx.load(folder / graph),
                    keep_io_types=True,
                    op_block_list=["ReduceMean", "GridSample"],
                )
            ordered = ONNXModel(model)
            ordered.topological_sort()
            onnx.checker.check_model(ordered.model)
            onnx.save(ordered.model, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return _noted(spec, folder, "fp16", None)


def _noted(spec: ModelSpec, folder: Path, precision: str, note: dict[str, Any] | None) -> ModelSpec:
    training = {**spec.training, precision: note or {}}
    return save_spec(dataclasses.replace(spec, training=training), folder)


class _Reader(CalibrationDataReader):
    """Hands one scan at a time to the calibration, which would keep all maps of all scans else."""

    def __init__(self, inputs: Iterable[Inputs]) -> None:
        self._inputs = list(inputs)
        self._rest: Iterator[Inputs] = iter(())

    def __len__(self) -> int:
        return len(self._inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._rest = iter(self._inputs[start_index:end_index])

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Mutes notes on progress, and the advice to prepare graphs that the export has folded."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
