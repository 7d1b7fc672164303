"""Earlier students that a recipe builds on: it starts from one, or ships a mean with them."""

from __future__ import annotations

from pathlib import Path

from kdmos_ros.train.growth import extended
from kdmos_ros.train.recipe import Recipe
from kdmos_ros.train.student import Student
from kdmos_ros.train.weights import load_student, starting_point


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
