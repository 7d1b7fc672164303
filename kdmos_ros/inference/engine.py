"""Runs the student's two graphs through ONNX Runtime.

The graph is cut at the scatter: ONNX Runtime's CPU scatter-max is either slow (ScatterElements) or
loses updates with several threads (ScatterND, onnxruntime #18048), so it is done here. On a GPU it
is a graph as well: `on_device`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.defaults import AUTO, PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.features.extractor import FeatureFrame
from kdmos_ros.inference.model import GRAPHS, ModelSpec, load_spec
from kdmos_ros.inference.on_device import OnDevice, joined
from kdmos_ros.inference.padding import Padding
from kdmos_ros.inference.provider_settings import ON_GPU, ProviderSettings, parse_settings
from kdmos_ros.inference.providers import (
    choose_precision,
    graph_precision,
    make_session,
    unmeasured_note,
    usable_provider,
)
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.thread_pool import Threads, thread_count

# On a CPU, a block's embeddings stay in the cache until they are scattered; and what the runtime
# keeps for them is megabytes, not tens of megabytes. Each thread has a block of its own: sharing
# one would have them wait for each other after every layer.
_POINTS_BLOCK = 8192
_POINTS_STEP = 4096
_CELLS_STEP = 2048
_ROWS_STEP = 4096
_ON_GPU = {key: PROVIDERS[key] for key in ON_GPU}


@dataclass(frozen=True)
class GridAnswer:
    """What the networks say of one scan: P points in K occupied cells.

    Attributes:
        logits: (K, n_z, classes) float32 of the cells' height bins.
        query, key: (P, Q) and (K, Q) float32: the product of a point's query and its cell's key is
            added to its logit of MOVING. Q is 0 for models without queries.
    """

    logits: npt.NDArray[np.float32]
    query: npt.NDArray[np.float32]
    key: npt.NDArray[np.float32]


class Engine:
    """The student of a model folder, ready to run.

    Args:
        folder: the model folder.
        provider: key of defaults.PROVIDERS, or "auto": CUDA, OpenVINO or CPU, the first there is.
        num_threads: threads on the CPU; 0: as many as the cores that this process may use.
        precision: one of defaults.PRECISIONS, or "auto": the fastest on the provider in use.
        options: of the provider, see `provider_settings`.
        threads: as many, to share the encoder's work with; None: its own.

    Attributes:
        spec: the model's specification.
        provider: the execution provider in use, ONNX Runtime's name.
        precision: of the grid network in use.
        fell_back: a provider was asked for by name and is not the one in use.
        note: one line to log about the provider in use, or "".
        on_device: runs everything on the GPU; None: `run` is to be used.

    Raises:
        ModelError: no usable model in the folder, its graphs do not fit its specification, or it
            cannot run in the precision or with the options asked for.
        ValueError: the provider's name is unknown.
    """

    def __init__(
        self,
        folder: Path,
        provider: str = AUTO,
        num_threads: int = 0,
        precision: str = AUTO,
        options: str = "",
        threads: Threads | None = None,
    ) -> None:
        self._threads = threads or Threads(thread_count(num_threads))
        used = usable_provider(provider)
        settings = parse_settings(options, used if provider == AUTO else provider)
        self.spec: ModelSpec = load_spec(folder)
        self._points, self._cells = Padding(_POINTS_STEP), Padding(_CELLS_STEP)
        self._rows = Padding(_ROWS_STEP)
        if used == "cpu" and provider in _ON_GPU:
            settings = ProviderSettings()
        self._load(folder, used, num_threads, precision, settings)
        if self.provider != PROVIDERS[used]:
            # It did not start, for want of a driver say: take what is best on the one that did,
            # the CPU or, for TensorRT, CUDA.
            (started,) = (key for key, name in PROVIDERS.items() if name == self.provider)
            if started not in ON_GPU:
                settings = ProviderSettings()
            self._load(folder, started, num_threads, precision, settings)
        self.fell_back = provider != AUTO and self.provider != PROVIDERS[provider]
        self.note = unmeasured_note(provider, self.provider)
        self._check(folder)
        self.on_device: OnDevice | None = None
        if settings.binding:
            self.on_device = joined(self._encoder, self._bev, self.spec, num_threads, settings)

    def _load(
        self,
        folder: Path,
        provider: str,
        num_threads: int,
        precision: str,
        settings: ProviderSettings,
    ) -> None:
        self.precision: str = choose_precision(self.spec, provider, precision)
        files = graph_precision(provider, self.precision)
        threads = (1 if provider == "cpu" else num_threads, num_threads)
        self._encoder, self._bev = (
            make_session(
                folder / self.spec.graph_in(graph, files),
                provider,
                self.precision,
                n,
                settings,
            )
            for graph, n in zip(GRAPHS, threads, strict=True)
        )
        self.provider: str = self._bev.get_providers()[0]

    def _check(self, folder: Path) -> None:
        """The graphs' shapes must be the ones that the specification's grid and features give."""
        spec = self.spec
        cells, motion = spec.grid.n_cells, spec.features.n_motion
        shape = {i.name: i.shape for i in [*self._encoder.get_inputs(), *self._bev.get_inputs()]}
        outputs = [*self._encoder.get_outputs(), *self._bev.get_outputs()]
        shape.update({o.name: o.shape for o in outputs})
        expected = {
            "point_features": (1, spec.features.n_point),
            "appearance": (0, cells),
            "motion_row" if "motion_row" in shape else "motion": (0, cells),
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
        self._takes_rows = "motion_row" in shape
        self._n_appearance = int(shape["appearance"][1])
        self._n_query = int(shape["point_query"][1]) if "point_query" in shape else 0
        if self._n_query != (int(shape["cell_key"][1]) if "cell_key" in shape else 0):
            raise ModelError(f"{folder}: the queries of its graphs do not fit their keys")

    def bev_inputs(self, frame: FeatureFrame) -> dict[str, npt.NDArray[Any]]:
        """What the grid network gets for a frame, by the names of its graph's inputs."""
        inputs, _ = self._bev_inputs(frame, {})
        return {**inputs, "cells": frame.occupied}

    def run(self, frame: FeatureFrame, timings_ms: dict[str, float]) -> GridAnswer:
        """What the networks say of the frame's points and occupied cells.

        Args:
            frame: features made with this engine's specification.
            timings_ms: gets the stages encoder, scatter and bev, milliseconds.
        """
        inputs, query = self._bev_inputs(frame, timings_ms)
        start = time.perf_counter()
        logits, *keys = (rows[: len(frame.occupied)] for rows in self._bev.run(None, inputs))
        timings_ms["bev"] = (time.perf_counter() - start) * 1e3
        key = keys[0] if keys else np.zeros((len(logits), 0), np.float32)
        return GridAnswer(logits, query, key)

    def _bev_inputs(
        self, frame: FeatureFrame, timings_ms: dict[str, float]
    ) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.float32]]:
        """The inputs of the grid network, and the points' queries (P, Q)."""
        query = np.empty((len(frame.point), self._n_query), np.float32)
        appearance = np.zeros((self.spec.grid.n_cells, self._n_appearance), np.float32)
        step = len(frame.point) if self.provider in _ON_GPU.values() else _POINTS_BLOCK
        scattering, scatter_s = Lock(), 0.0

        def encode(first: int) -> None:
            nonlocal scatter_s
            rows = slice(first, first + step)
            points = self._points(frame.point[rows])
            embedding, *asked = self._encoder.run(None, {"point_features": points})
            if asked:
                query[rows] = asked[0][: len(query[rows])]
            with scattering:
                start = time.perf_counter()
                scatter_max(embedding, frame.cell[rows], appearance)
                scatter_s += time.perf_counter() - start

        start = time.perf_counter()
        blocks = range(0, len(frame.point), step)
        if self.provider == PROVIDERS["cpu"]:
            self._threads.each(blocks, encode)
        else:  # shares each block among threads of its own
            for first in blocks:
                encode(first)
        timings_ms["encoder"] = (time.perf_counter() - start - scatter_s) * 1e3
        timings_ms["scatter"] = scatter_s * 1e3
        cells = self._cells(frame.occupied)
        inputs = {"appearance": appearance, "cells": cells}
        if self._takes_rows:
            inputs |= {"motion": self._rows(frame.motion_rows), "motion_row": frame.motion_row}
        else:
            inputs["motion"] = frame.motion
        return inputs, query


@njit(cache=True, nogil=True)
def scatter_max(embedding, cell, out):  # type: ignore[no-untyped-def]
    """Raise each cell of a map to the maximum of the embeddings in it.

    Args:
        embedding: (P or more, C) float32 >= 0, so that zero is the neutral element: output of the
            encoder's last ReLU.
        cell: (P,) int32.
        out: (n_cells, C) float32, zeros or what other points have left.
    """
    for i in range(len(cell)):
        row = out[cell[i]]
        for c in range(embedding.shape[1]):
            row[c] = max(row[c], embedding[i, c])
