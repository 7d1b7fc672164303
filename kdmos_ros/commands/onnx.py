"""`kdmos onnx`: a model folder from trained weights."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kdmos_ros.errors import ModelError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "onnx",
        help="make a model folder (ONNX graphs) from trained weights",
        description="Writes encoder.onnx, bev.onnx and model.json.",
    )
    parser.add_argument(
        "weights",
        type=Path,
        help="state dict or training checkpoint of a student (.pt), or a model folder, whose graphs"
        " are written anew",
    )
    parser.add_argument(
        "spec", type=Path, help="model.json, or a model folder that has one, of the same student"
    )
    parser.add_argument("output", type=Path, help="model folder to write")
    parser.add_argument("--name", help="name of the model (default: the one in the specification)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say what was written; returns the exit status."""
    from kdmos_ros.inference.model import GRAPHS, SPEC_FILE, ModelSpec
    from kdmos_ros.train.export.model_package import student_config, write_model
    from kdmos_ros.train.export.onnx_weights import student_from_graphs
    from kdmos_ros.train.networks.weights import load_student

    path: Path = args.spec / SPEC_FILE if args.spec.is_dir() else args.spec
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror}") from error
    spec = ModelSpec.from_json(text, str(path))
    if args.name:
        spec = dataclasses.replace(spec, name=args.name)
    if args.weights.is_dir():
        student = student_from_graphs(args.weights)
    else:
        student = load_student(args.weights, student_config(spec))
    write_model(student, spec, args.output)
    for name in GRAPHS:
        file = args.output / name
        print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
    return 0
