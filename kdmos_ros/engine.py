"""Runs the student's two graphs through ONNX Runtime.

The graph is cut at the scatter: ONNX Runtime's CPU scatter-max is either slow (ScatterElements) or
loses updates with several threads (ScatterND, onnxruntime #18048), so it is done here.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from numba import njit

from kdmos_ros.errors import ModelError
from kdmos_ros.features import FeatureFrame
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.model import ModelSpec, load_spec

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_CPU = PROVIDERS["cpu"]


class Engine:
    """The student of a model folder, ready to run.

    Args:
        folder: the model folder.
        provider: "auto" (CUDA where it works, else CPU) or a key of PROVIDERS.
        num_threads: threads of the CPU provider; 0 means all cores.

    Attributes:
        spec: the model's specification.
        provider: the execution provider in use, ONNX Runtime's name.
        fell_back: a provider was asked for by name and is not the one in use.

    Raises:
        ModelError: no usable model in the folder, or its graphs do not fit its specification.
        ValueError: the provider's name is unknown.
    """

    def __init__(self, folder: Path, provider: str = "auto", num_threads: int = 0) -> None:
        if provider != "auto" and provider not in PROVIDERS:
            raise ValueError(f"provider must be auto or one of {sorted(PROVIDERS)}: {provider!r}")
        self.spec: ModelSpec = load_spec(folder)
        wanted = "cuda" if provider == "auto" else provider
        available = PROVIDERS[wanted] in ort.get_available_providers()
        names = [PROVIDERS[wanted], _CPU] if available and wanted != "cpu" else [_CPU]
        self._encoder = _session(folder / "encoder.onnx", names, num_threads)
        self._bev = _session(folder / "bev.onnx", names, num_threads)
        self.provider: str = self._bev.get_providers()[0]
        self.fell_back = provider != "auto" and self.provider != PROVIDERS[provider]
        self._check(folder)

    def _check(self, folder: Path) -> None:
        """The graphs' shapes must be the ones that the specification's grid and features give."""
        spec = self.spec
        cells, motion = spec.grid.n_cells, spec.features.n_motion
        shape = {i.name: i.shape for i in [*self._encoder.get_inputs(), *self._bev.get_inputs()]}
        shape.update({o.name: o.shape for o in self._bev.get_outputs()})
        expected = {
            "point_features": (1, spec.features.n_point),
            "appearance": (0, cells),
            "motion": (0, cells),
            "logits": (1, spec.grid.n_z),
        }
        for name, (axis, size) in expected.items():
            if name not in shape or len(shape[name]) <= axis or shape[name][axis] != size:
                raise ModelError(
                    f"{folder}: graph has {name} {shape.get(name)}, but the model's grid and "
                    f"features give {size} on axis {axis}"
                )
        if shape["motion"][1] != motion or shape["logits"][2] != len(CLASS_NAMES):
            raise ModelError(
                f"{folder}: graph has {shape['motion'][1]} motion channels and "
                f"{shape['logits'][2]} classes, expected {motion} and {len(CLASS_NAMES)}"
            )
        self._n_appearance = int(shape["appearance"][1])

    def run(self, frame: FeatureFrame, timings_ms: dict[str, float]) -> npt.NDArray[np.float32]:
        """Logits (K, n_z, classes) float32 of the frame's occupied cells.

        Args:
            frame: features made with this engine's specification.
            timings_ms: gets the stages encoder, scatter and bev, milliseconds.
        """
        start = time.perf_counter()
        (embedding,) = self._encoder.run(None, {"point_features": frame.point})
        encoded = time.perf_counter()
        appearance = scatter_max(embedding, frame.cell, self.spec.grid.n_cells)
        scattered = time.perf_counter()
        (logits,) = self._bev.run(
            None, {"appearance": appearance, "motion": frame.motion, "cells": frame.occupied}
        )
        end = time.perf_counter()
        timings_ms["encoder"] = (encoded - start) * 1e3
        timings_ms["scatter"] = (scattered - encoded) * 1e3
        timings_ms["bev"] = (end - scattered) * 1e3
        result: npt.NDArray[np.float32] = logits
        return result


def _session(path: Path, providers: list[str], num_threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads or os.cpu_count() or 1
    options.log_severity_level = 3  # a missing GPU library is reported by `fell_back`, once
    # Spinning threads would take a robot's other cores while there is nothing to do.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises many types of its own
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}") from error


@njit(cache=True, nogil=True)
def scatter_max(embedding, cell, n_cells):  # type: ignore[no-untyped-def]
    """Maximum of the embeddings (P, C) float32 >= 0 in each cell: (n_cells, C), empty cells 0.

    Args:
        embedding: output of the encoder's last ReLU, so that zero is the neutral element.
        cell: (P,) int32.
    """
    n_channels = embedding.shape[1]
    out = np.zeros((n_cells, n_channels), np.float32)
    for i in range(len(cell)):
        row = out[cell[i]]
        for c in range(n_channels):
            row[c] = max(row[c], embedding[i, c])
    return out
