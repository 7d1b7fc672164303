"""The networks of one scan without leaving the GPU: features go up, labels come down.

encoder.onnx -> scatter.onnx -> bev.onnx -> read.onnx, four sessions that hand each other tensors
in the GPU's memory. The two small graphs hold no weights and come with the package, so that no
model is stored twice; half precision and TensorRT take the same way.

Numbers of points and cells are rounded up to few sizes, each with tensors of its own that stay
where they are: CUDA graphs need that. Rows are filled up by repeating some: a maximum does not
change by that, and labels read twice are not looked at.

Nothing here was run on a GPU yet; tests run it with tensors in the CPU's memory.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from kdmos_ros.defaults import PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.features.extractor import FeatureFrame
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.inference.provider_settings import ON_GPU, ProviderSettings
from kdmos_ros.inference.providers import make_session

_GRAPHS = Path(__file__).resolve().parent / "graphs"
SCATTER_GRAPH = _GRAPHS / "scatter.onnx"
READ_GRAPH = _GRAPHS / "read.onnx"
ASKING_READ_GRAPH = _GRAPHS / "read_asking.onnx"
"""Of models with queries: the first has no inputs for them."""
STAGES = ("encoder", "scatter", "bev", "read")
_POINTS_STEP = 16384
_USUAL_POINTS = 131072
_CELL_SIZES = 4  # quarters of the grid
_NO_BIAS = np.zeros((1, 3), np.float32)
# Static, movable, moving: in a scan without a past nothing is called moving.
_NO_PAST = np.array([[0, 0, -np.inf]], np.float32)

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class OnDevice:
    """Runs a model's graphs with their inputs and outputs in a device's memory.

    Args:
        sessions: by STAGES.
        n_cells, n_z: of the model's grid.
        device: "cuda" or "cpu", where the sessions run.
        device_id: which GPU.
        cuda_graphs: the sessions record CUDA graphs, one for each size.
    """

    def __init__(
        self,
        sessions: Mapping[str, ort.InferenceSession],
        n_cells: int,
        n_z: int,
        device: str,
        device_id: int = 0,
        cuda_graphs: bool = False,
    ) -> None:
        self.sessions = dict(sessions)
        self._n_cells, self._n_z = n_cells, n_z
        self._device, self._device_id = device, device_id
        self._cuda_graphs = cuda_graphs
        self._tensors: dict[tuple[str, Shape], ort.OrtValue] = {}
        self._bindings: dict[tuple[str, int, int], tuple[ort.IOBinding, ort.RunOptions]] = {}
        (self._n_appearance,) = self.sessions["encoder"].get_outputs()[0].shape[1:]
        self._voxel_shape: list[int] = self.sessions["bev"].get_outputs()[0].shape[1:]
        inputs = [i for name in ("encoder", "bev") for i in self.sessions[name].get_inputs()]
        width = {i.name: i.shape[-1] for i in inputs}
        self._n_features, self._n_motion = width["point_features"], width["motion"]
        widths = {o.name: o.shape[-1] for o in self.sessions["encoder"].get_outputs()}
        self._n_query = int(widths.get("point_query", 0))
        with self._failing_clearly():
            # The map goes up whole, so that sizes stay few.
            self._put("motion_row", np.arange(self._n_cells, dtype=np.int64))

    def warm_up(self) -> None:
        """Run all usual sizes once: memory is taken, kernels are chosen, CUDA graphs recorded.

        Raises:
            ModelError: the device failed, for want of memory say.
        """
        sizes = range(_POINTS_STEP, _USUAL_POINTS + 1, _POINTS_STEP)
        parts = range(1, _CELL_SIZES + 1)
        with self._failing_clearly():
            self._put("motion", np.zeros((self._n_cells, self._n_motion), np.float32))
            for points, part in itertools.product(sizes, parts):
                cells = self._cells(part * self._n_cells // _CELL_SIZES)
                self._put("point_features", np.zeros((points, self._n_features), np.float32))
                self._put("cell", np.zeros((points, 1), np.int64))
                self._put("voxel", np.zeros(points, np.int64))
                if self._n_query:
                    self._put("slot", np.zeros(points, np.int64))
                self._put("cells", np.zeros(cells, np.int64))
                self._stages(points, cells, {})

    def run(
        self, frame: FeatureFrame, threshold: float, timings_ms: dict[str, float]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Labels (P,) and moving probabilities (P,) of a frame's points, as `read_out.gather`.

        Args:
            frame: with at least one point.
            threshold: probability from which a point is MOVING.
            timings_ms: gets the stages upload, encoder, scatter, bev and gather.

        Raises:
            ModelError: the device failed, for want of memory say.
        """
        n = len(frame.point)
        points, cells = -(-n // _POINTS_STEP) * _POINTS_STEP, self._cells(len(frame.occupied))
        start = time.perf_counter()
        voxel = frame.slot.astype(np.int64) * self._n_z + frame.z_bin
        with self._failing_clearly():
            self._put("point_features", _filled(frame.point, points))
            self._put("cell", _filled(frame.cell.astype(np.int64), points)[:, None])
            self._put("voxel", _filled(voxel, points))
            if self._n_query:
                self._put("slot", _filled(frame.slot.astype(np.int64), points))
            self._put("cells", _filled(frame.occupied, cells))
            self._put("motion", frame.motion)
            self._put("bias", _NO_BIAS if frame.n_past else _NO_PAST)
            self._put("threshold", np.array([threshold], np.float32))
            timings_ms["upload"] = (time.perf_counter() - start) * 1e3
            label, probability = self._stages(points, cells, timings_ms)
        return label[:n], probability[:n]

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # ONNX Runtime raises many types of its own
            raise ModelError(f"{self._device} cannot run the model: {error}") from error

    def _stages(self, points: int, cells: int, timings_ms: dict[str, float]) -> tuple[Array, Array]:
        for stage in STAGES:
            start = time.perf_counter()
            # Only what the stage depends on, so that no CUDA graph is recorded twice.
            key = (stage, points * (stage != "bev"), cells * (stage in ("bev", "read")))
            if key not in self._bindings:
                self._bindings[key] = self._bind(stage, points, cells)
            binding, options = self._bindings[key]
            self.sessions[stage].run_with_iobinding(binding, options)
            if stage == "read":
                results = [
                    self._tensor(name, (points,), kind).numpy()
                    for name, kind in (("label", np.uint8), ("probability", np.float32))
                ]
            timings_ms["gather" if stage == "read" else stage] = (time.perf_counter() - start) * 1e3
        label, probability = results
        return label, probability

    def _bind(self, stage: str, points: int, cells: int) -> tuple[ort.IOBinding, ort.RunOptions]:
        """A stage's inputs and outputs at a size: tensors that stay where they are."""
        maps = (self._n_cells, self._n_appearance)
        known: dict[str, tuple[Shape, Any]] = {
            "point_features": ((points, self._n_features), np.float32),
            "embedding": ((points, self._n_appearance), np.float32),
            "cell": ((points, 1), np.int64),
            "columns": ((1, self._n_appearance), np.int64),
            "empty": (maps, np.float32),
            "appearance": (maps, np.float32),
            "motion": ((self._n_cells, self._n_motion), np.float32),
            "motion_row": ((self._n_cells,), np.int64),
            "cells": ((cells,), np.int64),
            "logits": ((cells, *self._voxel_shape), np.float32),
            "voxel": ((points,), np.int64),
            "point_query": ((points, self._n_query), np.float32),
            "cell_key": ((cells, self._n_query), np.float32),
            "slot": ((points,), np.int64),
            "bias": ((1, 3), np.float32),
            "threshold": ((1,), np.float32),
            "label": ((points,), np.uint8),
            "probability": ((points,), np.float32),
        }
        session = self.sessions[stage]
        binding = session.io_binding()
        for value in session.get_inputs():
            binding.bind_ortvalue_input(value.name, self._tensor(value.name, *known[value.name]))
        for value in session.get_outputs():
            name = "embedding" if value.name == "point_embedding" else value.name
            binding.bind_ortvalue_output(value.name, self._tensor(name, *known[name]))
        options = ort.RunOptions()
        if self._cuda_graphs:  # one recording for each of the stage's sizes
            number = sum(key[0] == stage for key in self._bindings) + 1
            options.add_run_config_entry("gpu_graph_id", str(number))
        return binding, options

    def _tensor(self, name: str, shape: Sequence[int], kind: Any) -> ort.OrtValue:
        key = (name, tuple(shape))
        if key not in self._tensors:
            zeros = np.zeros(shape, kind)
            self._tensors[key] = ort.OrtValue.ortvalue_from_numpy(
                zeros, self._device, self._device_id
            )
        return self._tensors[key]

    def _put(self, name: str, array: Array) -> None:
        """Copies to the device. From memory that can be swapped: Python cannot pin any."""
        self._tensor(name, array.shape, array.dtype).update_inplace(np.ascontiguousarray(array))

    def _cells(self, occupied: int) -> int:
        step = -(-self._n_cells // _CELL_SIZES)
        return max(1, -(-occupied // step)) * step


def joined(
    encoder: ort.InferenceSession,
    bev: ort.InferenceSession,
    spec: ModelSpec,
    num_threads: int,
    settings: ProviderSettings,
    profile: Path | None = None,
) -> OnDevice:
    """A model's two networks with all that lies between and behind them on their device, too.

    Args:
        profile: see make_session.
    """
    on_gpu = bev.get_providers()[0] in [PROVIDERS[key] for key in ON_GPU]
    device = "cuda" if on_gpu else "cpu"
    # Not TensorRT, which has the maximum as a plug-in only. CUDA has kernels for all of it.
    asks = any(output.name == "point_query" for output in encoder.get_outputs())
    scatter, read = (
        make_session(graph, device, "fp32", num_threads, settings, profile)
        for graph in (SCATTER_GRAPH, ASKING_READ_GRAPH if asks else READ_GRAPH)
    )
    sessions = {"encoder": encoder, "scatter": scatter, "bev": bev, "read": read}
    return OnDevice(
        sessions, spec.grid.n_cells, spec.grid.n_z, device, settings.device, settings.cuda_graphs
    )


def _filled(rows: Array, size: int) -> Array:
    """(size, ...): the rows, and again from the first."""
    if len(rows) == size:
        return rows
    return rows[np.arange(size) % len(rows)]
