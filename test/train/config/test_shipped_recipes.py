"""The recipes that ship name models that ship, of a shape that they can begin as."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from kdmos_ros.inference.model import find_model  # noqa: E402
from kdmos_ros.train.config.recipe import load_recipe  # noqa: E402
from kdmos_ros.train.fitting import initial_weights  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "config" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_starts_from_is_there_and_fits(path, tmp_path, monkeypatch):
    recipe = load_recipe(path)
    if recipe.fit is None or recipe.fit.start_from is None:
        return
    assert recipe.fit.starts_from_model
    assert find_model(recipe.fit.start_from).parent == ROOT / "models"
    monkeypatch.setattr(initial_weights, "calibrated", lambda student, batches: student)
    student = initial_weights.first_student(tmp_path, recipe, [], keep=False)
    assert student.config == recipe.student_config()
