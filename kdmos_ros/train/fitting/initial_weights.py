"""Earlier students that a recipe builds on: it starts from one, or ships a mean with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from kdmos_ros.inference.model import find_model, load_spec
from kdmos_ros.io.atomic import new_file
from kdmos_ros.train.config.recipe import Recipe
from kdmos_ros.train.data.training_samples import Batch
from kdmos_ros.train.export.onnx_weights import calibrated, student_from_graphs
from kdmos_ros.train.networks.net2wider import asking, extended, widened
from kdmos_ros.train.networks.student import Student
from kdmos_ros.train.networks.weights import load_student, starting_point

START = "start.pt"
"""In the folder of a run that started from a model: its weights, as the training took them over."""


def first_student(
    folder: Path, recipe: Recipe, batches: Iterable[Batch], *, keep: bool = True
) -> Student:
    """The student that a recipe's training begins as.

    Args:
        folder: that of the run.
        batches: what a model's normalisations are measured on.
        keep: leave a model's weights as START in the folder.

    Raises:
        ModelError: as `earlier_student` and `student_from_graphs`.
    """
    config, start = recipe.student_config(), recipe.fit.start_from
    if start is None:
        return Student(config)
    if not recipe.fit.starts_from_model:
        student = earlier_student(folder, start, recipe)
        if config.query_width > student.config.query_width:
            student = asking(student, config.query_width)
        return student if student.config == config else widened(student, config)
    model = find_model(start)
    student, features = student_from_graphs(model), load_spec(model).features
    if features != recipe.features:
        student = extended(student, features, recipe.features)
    if config.query_width > student.config.query_width:
        student = asking(student, config.query_width)
    if student.config != config:
        student = widened(student, config)
    calibrated(student, batches)
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
        with new_file(folder / START) as part:
            torch.save(student.state_dict(), part)
    return student


def earlier_student(folder: Path, name: str, recipe: Recipe) -> Student:
    """A student of an earlier run, with the recipe's features: new ones have no weight yet.

    Args:
        folder: that of the run.
        name: file of the weights, relative to it.
        recipe: whose `fit` tells the shape that they have.

    Raises:
        ModelError: as `load_student`, and as `extended`.
    """
    student = load_student(starting_point(folder, name), recipe.start_config())
    before = recipe.fit.start_features
    return student if before is None else extended(student, before, recipe.features).eval()
