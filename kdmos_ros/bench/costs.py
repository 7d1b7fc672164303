"""The least work that each stage has to do for a scan, and so the least time it can take.

Arithmetic is counted for the networks, layer by layer; traffic is what a stage has to read and
write at least once: its inputs, its results and its weights. What goes to and fro in between is not
counted, so the floor is one that no code gets below, not one that any reaches.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from kdmos_ros.bench.machine import Peaks
from kdmos_ros.inference.model import GRAPHS

if TYPE_CHECKING:
    from kdmos_ros.pipeline.replay import ReplayedScan
    from kdmos_ros.segmentation.segmenter import Segmenter

_FLOAT = 4
# A vector register holds four times as many int8 as float32 values, and VNNI multiplies and adds
# them at the same rate.
INT8_GAIN = 4
_OF_POINT = {"xyz": 3 * _FLOAT, "label": 1, "probability": _FLOAT, "index": 8, "cell": 4}
_KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_OF_LOOK_UP = 1 + 2 * _FLOAT  # state, near, far


@dataclass(frozen=True)
class Cost:
    """Work for one scan.

    Attributes:
        macs: multiply-accumulates in float32; int8_macs: those in INT8.
        moved: bytes.
    """

    macs: int = 0
    int8_macs: int = 0
    moved: int = 0

    def floor_ms(self, peaks: Peaks) -> float:
        """The least time for it on a machine."""
        arithmetic = (self.macs + self.int8_macs / INT8_GAIN) / peaks.gmac_per_s
        return max(arithmetic, self.moved / peaks.gb_per_s) * 1e-6


def stage_costs(model: Path, segmenter: Segmenter, scan: ReplayedScan) -> dict[str, Cost]:
    """Costs by stage of a scan like this one.

    Args:
        model: the model's folder.
        segmenter: what labelled the scan.
        scan: a labelled one.
    """
    spec = segmenter.spec
    labels = np.asarray(scan.labels)
    n, inside = len(labels), int(np.count_nonzero(labels))
    cells, lags = spec.grid.n_cells, spec.features.visibility.n_lags
    occupied = min(inside, cells)
    if scan.scan is not None:
        occupied = _occupied(segmenter, scan)
    n_point, n_motion = spec.features.n_point, spec.features.n_motion
    # Rows of the motion map: hardly more cells than these know anything of motion.
    sizes = {"points": inside, "occupied": occupied, "rows": occupied}
    encoder, bev = (_layers(model / graph, sizes) for graph in GRAPHS)
    appearance = encoder.outputs
    point, message = _OF_POINT, n * int(scan.message.point_step)
    quantized = segmenter.precision == "int8"
    weights = (model / spec.graph_in(GRAPHS[1], segmenter.precision)).stat().st_size
    return {
        "decode": Cost(moved=message + n * (point["xyz"] + _FLOAT)),
        "residual": Cost(moved=lags * n * (point["xyz"] + _OF_LOOK_UP) + n * point["xyz"]),
        "features": Cost(
            moved=n * (point["xyz"] + lags * _OF_LOOK_UP)
            + inside * (n_point * _FLOAT + point["index"] + 3 * point["cell"])
            + occupied * n_motion * _FLOAT
            + cells * point["cell"]
        ),
        "encoder": Cost(encoder.macs, moved=encoder.moved),
        "scatter": Cost(moved=_FLOAT * appearance + inside * point["cell"] + cells * _FLOAT),
        "bev": Cost(
            bev.macs - (bev.conv_macs if quantized else 0),
            bev.conv_macs if quantized else 0,
            bev.moved + weights,
        ),
        "gather": Cost(
            moved=_FLOAT * bev.outputs
            + inside * (point["index"] + 2 * point["cell"])
            + n * (point["label"] + point["probability"])
        ),
        "encode": Cost(moved=2 * message + 2 * n * (point["label"] + point["probability"])),
    }


def _occupied(segmenter: Segmenter, scan: ReplayedScan) -> int:
    from kdmos_ros.features.extractor import FeatureExtractor
    from kdmos_ros.geometry.transforms import make_transform

    assert scan.scan is not None
    mount = make_transform(np.eye(3), [0, 0, segmenter.spec.sensor_height_m])
    spec = segmenter.spec
    return len(FeatureExtractor(spec.grid, spec.features, mount).push(scan.scan).occupied)


@dataclass
class _Layers:
    macs: int = 0
    conv_macs: int = 0
    moved: int = 0
    outputs: int = 0


def _layers(graph: Path, sizes: dict[str, int]) -> _Layers:
    """Count a graph's work by running it once, unoptimised: ONNX Runtime tells all shapes."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.enable_profiling = True
    found = _Layers()
    with tempfile.TemporaryDirectory(prefix="kdmos_bench_") as folder:
        options.profile_file_prefix = os.path.join(folder, "profile")
        session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        feeds: dict[str, Any] = {}
        for value in session.get_inputs():
            shape = [sizes[s] if isinstance(s, str) else s for s in value.shape]
            kind = _KINDS[value.type]
            feeds[value.name] = np.zeros(shape, kind)
        results = session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found.outputs = sum(result.size for result in results)
    found.moved = sum(a.nbytes for a in [*feeds.values(), *results])
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        inputs = [_shape(t) for t in event["args"]["input_type_shape"]]
        (output,) = [_shape(t) for t in event["args"]["output_type_shape"]][:1]
        kind = event["args"]["op_name"]
        if kind == "Conv":
            macs = int(np.prod(output)) * int(np.prod(inputs[1][1:]))
            found.conv_macs += macs
        elif kind in ("Gemm", "MatMul"):
            macs = int(np.prod(output)) * inputs[0][-1]
        else:
            continue
        found.macs += macs
    return found


def _shape(typed: dict[str, list[int]]) -> list[int]:
    return next(iter(typed.values()))
