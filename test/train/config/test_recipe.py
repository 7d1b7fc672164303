"""Recipes of trainings: those in the package are usable, and what cannot be names its file."""

from pathlib import Path

import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.inference.model import find_model, load_spec
from kdmos_ros.resources import share_dir

pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.train.config.recipe import find_recipe, load_recipe
from kdmos_ros.train.export.model_package import student_config
from kdmos_ros.train.fitting.trained_teacher import find_teacher

RECIPES = share_dir() / "config" / "train"


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "name: [",
        "seed: 1",
        "name: x\nunknown: 1",
        "name: x\ngrid: {n_rho: -1}",
        "name: x\nfeatures: {point: [colour]}",
        "name: x\nstudent: {width: 0.5, halo: 3}",
        "name: x\nfit: {speed: 3}",
        "name: x\nfit: {precision: half}",
        "name: x\nfit: {steps: 0}",
        "name: x\nfit: {connected_threshold: 0}",
        "name: x\nteacher: {fit: {connected_threshold: 0.2}}",
        "name: x\naugment: {mirror: 2}",
        "name: x\naugment: {drop_share: [0.3, 0.1]}",
        "name: x\naugment: {tilt_deg: -1}",
        "name: x\naugment: {shift_m: [1, 1]}",
        "name: x\ndistil: {loss: wdcd}",
        "name: x\nteacher: {}\ndistil: {loss: mse}",
        "name: x\nteacher: {}\ndistil: {weight: 0}",
        "name: x\nteacher: {}\ndistil: {class_weights: [1, 2]}",
        "name: x\nteacher: {}\ndistil: {loss: kl, class_weights: [0, 1, 1, 1]}",
        "name: x\nteacher: {window: {lags_s: [0]}}",
        "name: x\nteacher: {network: {kernel: ball}}",
        "name: x\nteacher: {speed: 3}",
        "name: x\nteacher: {fit: {start_from: a.pt, start_student: {width: 0.5}}}",
        "name: x\nteacher: {fit: {averaged_with: [a.pt]}}",
        "name: x\nteacher: {fit: {start_from: kdmos_s}}",
        "name: x\nfit: {start_from: kdmos_s, start_student: {width: 0.5}}",
        "name: x\nfit: {averaged_with: a.pt}",
        "name: x\nfit: {averaged_with: [a.pt], start_from: b.pt, start_student: {width: 0.5}}",
        "name: x\nfit: {averaged_with: [3]}",
        "name: x\nteacher: {trained: kdmos_teacher, network: {voxel_m: 0.5}}",
        "name: x\nteacher: {trained: kdmos_teacher, fit: {steps: 9}}",
        "name: x\nteacher: 3",
        "name: x\ndistil: [wdcd]",
    ],
)
def test_a_recipe_that_cannot_be_names_its_file(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(KdmosError, match=r"bad\.yaml: not a usable recipe") as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fit: {step: 3}", "fit.step is unknown; the nearest entry is steps"),
        ("studnet: {}", "studnet is unknown; the nearest entry is student"),
        ("student: {widht: 0.5}", "student.widht is unknown; the nearest entry is width"),
        ("student: {n_phi: 9}", "student.n_phi cannot be set: it follows from other sections"),
        ("student: {width: wide}", "student.width must be a number above 0, got 'wide'"),
        ("data: {sources: [a, {path: b, split: [x]}]}",
         "data.sources[1].split is unknown; the nearest entry is splits"),
        ("data: {sources: [{weight: 2}]}", "data.sources[0].path is missing"),
        ("data: {sensors: {vlp16: much}}", "data.sensors.vlp16 must be a valid number, got 'much'"),
        ("features: {visibility: {pool_row: 1}}",
         "features.visibility.pool_row is unknown; the nearest entry is pool_rows"),
        ("features: {visibility: {lags_s: [-1]}}",
         "features.visibility: lags_s must be positive, got (-1.0,)"),
        ("fit: {start_from: a.pt, start_features: {slab: []}}",
         "fit.start_features.slab is unknown; the nearest entry is slabs_m"),
        ("fit: {start_from: a.pt, start_student: {halo: 0.5}}",
         "fit.start_student.halo must be a valid integer, got 0.5"),
        ("fit: {learning_rate: 1e-3}", "fit.learning_rate must be a valid number, got '1e-3'"),
        ("fit: {steps: true}", "fit.steps must be a valid integer, got True"),
        ("teacher: {network: {widths: [8, 0]}}",
         "teacher.network.widths[1] must be greater than or equal to 1, got 0"),
        ("grid: {n_rho: 7.5}", "grid.n_rho must be a valid integer, got 7.5"),
        ("fit: {steps: 0}\ngrid: 3",
         "grid must be a mapping, got 3; fit.steps must be greater than or equal to 1, got 0"),
    ],
)  # fmt: skip
def test_every_wrong_entry_is_named_with_its_path_and_the_reason(tmp_path, text, reason):
    path = tmp_path / "bad.yaml"
    path.write_text(f"name: x\n{text}")
    with pytest.raises(KdmosError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: not a usable recipe: {reason}"


def test_a_missing_recipe_names_itself(tmp_path):
    with pytest.raises(KdmosError, match=r"none\.yaml: cannot read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_recipes_in_the_package_are_usable(path: Path):
    recipe = load_recipe(path)
    assert recipe.student_config().n_rho == recipe.grid.n_rho
    if recipe.fit.start_from:
        assert recipe.fit.starts_from_model, "nobody else has another run's checkpoints"
        assert (find_model(recipe.fit.start_from) / "bev.onnx").is_file()
    if recipe.teacher is not None and recipe.teacher.trained:
        assert (find_teacher(recipe.teacher.trained) / "weights.pt").is_file()


def test_features_of_the_start_are_written_as_those_of_a_model(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\nfit: {start_from: a.pt, start_features: {vacated: true}}")
    written = load_recipe(path).to_dict()
    assert "pool_rows" not in written["fit"]["start_features"]["visibility"]
    assert written["fit"]["start_features"]["vacated"] is True


def test_the_recipe_to_tune_a_shipped_model_has_its_shape():
    recipe = load_recipe(RECIPES / "finetune.yaml")
    model = load_spec(find_model(recipe.fit.start_from))
    assert (recipe.grid, recipe.features) == (model.grid, model.features)
    assert recipe.student_config() == student_config(model)


def test_a_recipe_is_found_by_name_or_path(tmp_path, monkeypatch):
    assert find_recipe("kdmos_s") == RECIPES / "kdmos_s.yaml"
    own = tmp_path / "kdmos_s"
    own.write_text("name: own")
    monkeypatch.chdir(tmp_path)
    assert find_recipe("kdmos_s") == Path("kdmos_s"), "a file wins, as a model folder does"
    with pytest.raises(KdmosError, match=r"no recipe 'kdmos_x': not a file, nor one of .*kdmos_s"):
        find_recipe("kdmos_x")
