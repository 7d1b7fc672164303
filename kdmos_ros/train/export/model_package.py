"""Makes a model folder, which the engine can load, from weights and a specification."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from kdmos_ros.defaults import PRECISIONS
from kdmos_ros.errors import ModelError
from kdmos_ros.inference.model import GRAPHS, SPEC_FILE, ModelSpec, graph_file, save_spec
from kdmos_ros.train.config.student_config import StudentConfig
from kdmos_ros.train.export.onnx_export import export_student
from kdmos_ros.train.networks.student import Student


def student_config(spec: ModelSpec) -> StudentConfig:
    """The student's shape in a specification.

    Raises:
        ModelError: it is missing, wrong or does not fit the specification's grid and features.
    """
    if not spec.network:
        raise ModelError(f"model {spec.name}: its specification has no student settings (network)")
    config = StudentConfig.from_dict(spec.network)
    expected = {
        "n_point_features": spec.features.n_point,
        "n_motion": spec.features.n_motion,
        "n_rho": spec.grid.n_rho,
        "n_phi": spec.grid.n_phi,
        "n_z": spec.grid.n_z,
    }
    for name, size in expected.items():
        if getattr(config, name) != size:
            raise ModelError(
                f"model {spec.name}: the student has {name} {getattr(config, name)}, but the grid "
                f"and features of the specification give {size}"
            )
    return config


def write_model(student: Student, spec: ModelSpec, folder: Path) -> ModelSpec:
    """Writes encoder.onnx, bev.onnx and model.json; nothing is replaced before all three exist.

    Args:
        student: trained weights.
        spec: what they depend on; its `network` and `sha256` are ignored and written anew.
        folder: the model folder, made if missing. Graphs in other precisions that
            it has are removed; other files stay.

    Returns:
        The specification as written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name)
        export_student(student, made)
        written = save_spec(_with_network(spec, student.config), made)
        folder.mkdir(exist_ok=True)
        # The specification last: until then its hashes refuse a half-replaced model.
        for file in (*GRAPHS, SPEC_FILE):
            os.replace(made / file, folder / file)
    for graph in GRAPHS:  # of the weights before
        for precision in PRECISIONS[1:]:
            (folder / graph_file(graph, precision)).unlink(missing_ok=True)
    return written


def _with_network(spec: ModelSpec, config: StudentConfig) -> ModelSpec:
    spec = dataclasses.replace(spec, network=config.to_dict(), sha256={})
    student_config(spec)
    return spec
