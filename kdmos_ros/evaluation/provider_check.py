"""Whether a model runs where it should: which nodes do, and whether labels are the CPU's.

For the owner of a GPU, `kdmos providers --check`. Placement is read from ONNX Runtime's profile.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdmos_ros.defaults import AUTO, PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.features.extractor import FeatureFrame
from kdmos_ros.inference.model import GRAPHS, ModelSpec, load_spec
from kdmos_ros.inference.on_device import joined
from kdmos_ros.inference.provider_settings import parse_settings
from kdmos_ros.inference.providers import (
    choose_precision,
    graph_precision,
    make_session,
    usable_provider,
)
from kdmos_ros.labels import MOVING
from kdmos_ros.segmentation.segmenter import Question, Segmenter

TOLERANCE = {"fp32": 1e-3, "fp16": 3e-2, "int8": 1e-1}
"""Of a moving probability, to the CPU in single precision. Chosen, not measured on a GPU."""
_OTHER_LABELS = 0.01
_SMALL = 16  # numbers: a shape or a few, not a map


@dataclass(frozen=True)
class Placement:
    """Where the nodes of a stage ran.

    Attributes:
        stage: of on_device.STAGES.
        nodes: provider to number of nodes.
        fell_back: operators that ran on the CPU instead, with their nodes' names; not those that
            work out shapes.
        copies: nodes that copy between the CPU and the device.
    """

    stage: str
    nodes: dict[str, int]
    fell_back: list[str]
    copies: int


@dataclass(frozen=True)
class Comparison:
    """Labels on a provider beside those on the CPU in single precision.

    Attributes:
        largest: difference of a moving probability.
        other_labels: share of the points that have another label.
        other_moving: share of those that are moving here only or there only.
        tolerance: of `largest`.
    """

    largest: float
    other_labels: float
    other_moving: float
    tolerance: float

    @property
    def good(self) -> bool:
        """Within the tolerance; labels may tip over where two classes are as likely."""
        return self.largest <= self.tolerance and self.other_labels <= _OTHER_LABELS


def random_frame(spec: ModelSpec, n: int, seed: int, n_past: int = 1) -> FeatureFrame:
    """Random features of n points, many a cell near the sensor and few far away, as in a scan."""
    rng = np.random.default_rng(seed)
    ring = np.minimum(spec.grid.n_rho - 1, rng.exponential(spec.grid.n_rho / 4, n)).astype(np.int32)
    cell = ring * spec.grid.n_phi + rng.integers(0, spec.grid.n_phi, n).astype(np.int32)
    occupied, slot = np.unique(cell, return_inverse=True)
    return FeatureFrame(
        index=np.arange(n),
        point=rng.normal(size=(n, spec.features.n_point)).astype(np.float32),
        cell=cell.astype(np.int32),
        slot=slot.astype(np.int32),
        z_bin=rng.integers(0, spec.grid.n_z, n).astype(np.int32),
        occupied=occupied.astype(np.int64),
        motion_rows=rng.random((spec.grid.n_cells, spec.features.n_motion), np.float32),
        motion_row=np.arange(spec.grid.n_cells, dtype=np.int64),
        n_points=n,
        n_past=n_past,
    )


def placements(
    folder: Path, provider: str, precision: str, num_threads: int, options: str, n_points: int
) -> list[Placement]:
    """Run a model once under ONNX Runtime's profiler.

    Args: as of Engine; n_points: of a random scan.

    Raises:
        ModelError: the model does not run there.
    """
    used = usable_provider(provider)
    settings = parse_settings(options, used if provider == AUTO else provider)
    # Recorded graphs are replayed as one, without any nodes to see.
    settings = dataclasses.replace(settings, cuda_graphs=False)
    spec = load_spec(folder)
    precision = choose_precision(spec, used, precision)
    files = [folder / spec.graph_in(graph, graph_precision(used, precision)) for graph in GRAPHS]
    with tempfile.TemporaryDirectory(prefix="kdmos-profile-") as scratch:
        profile = Path(scratch) / "ort"
        encoder, bev = (
            make_session(file, used, precision, num_threads, settings, profile) for file in files
        )
        runs_on = bev.get_providers()[0]
        if runs_on != PROVIDERS[used] or provider not in (AUTO, used):
            raise ModelError(f"{provider} does not start here, the model would run on {runs_on}")
        on_device = joined(encoder, bev, spec, num_threads, settings, profile)
        on_device.run(random_frame(spec, n_points, 0), 0.5, {})
        return [
            read_profile(stage, Path(session.end_profiling()), session.get_providers()[0])
            for stage, session in on_device.sessions.items()
        ]


def read_profile(stage: str, path: Path, provider: str) -> Placement:
    """Where the nodes ran, by a profile of ONNX Runtime.

    Args:
        provider: ONNX Runtime's name of the one that they should run on.
    """
    seen: dict[str, dict[str, Any]] = {}
    for event in json.loads(path.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            seen[event["name"][: -len("_kernel_time")]] = event["args"]
    cpu = PROVIDERS["cpu"]
    fell_back = [
        f"{about['op_name']} {name}"
        for name, about in seen.items()
        if about["provider"] == cpu != provider and not _is_shape(about)
    ]
    copies = sum(about["op_name"].startswith("Memcpy") for about in seen.values())
    nodes = Counter(about["provider"] for about in seen.values())
    return Placement(stage, dict(nodes), sorted(fell_back), copies)


def _is_shape(about: dict[str, Any]) -> bool:
    """Whether a node gives nothing but a few whole numbers."""
    outputs = [item for entry in about.get("output_type_shape", []) for item in entry.items()]
    return bool(outputs) and all(
        kind in ("int64", "int32") and math.prod(shape) <= _SMALL for kind, shape in outputs
    )


def compare(
    folder: Path, provider: str, precision: str, num_threads: int, options: str, n_points: int
) -> Comparison:
    """Label random scans on a provider and on the CPU; arguments as of `placements`."""
    there = Segmenter(
        folder,
        provider=provider,
        num_threads=num_threads,
        precision=precision,
        provider_options=options,
    )
    here = Segmenter(folder, provider="cpu", num_threads=num_threads, precision="fp32")
    largest = other = moving = 0.0
    sizes = (n_points, max(1, n_points // 3), n_points)  # sizes change, CUDA graphs come again
    for seed, n in enumerate(sizes):
        frame = random_frame(here.spec, n, seed)
        a, b = (segmenter.answer(Question(frame, 0, {})) for segmenter in (there, here))
        difference = np.abs(a.moving_probability - b.moving_probability).max()
        largest = max(largest, float(difference) if np.isfinite(difference) else math.inf)
        other = max(other, float(np.mean(a.labels != b.labels)))
        moving = max(moving, float(np.mean((a.labels == MOVING) != (b.labels == MOVING))))
    return Comparison(largest, other, moving, TOLERANCE[there.precision])
