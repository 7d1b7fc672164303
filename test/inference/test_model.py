"""Model folders: what is refused, and that the message says why."""

import dataclasses
import json
import shutil

import pytest

from kdmos_ros.errors import ModelError
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.inference.engine import Engine
from kdmos_ros.inference.model import GRAPHS, ModelSpec, find_model, load_spec, save_spec

pytest.importorskip("torch", reason="a tiny model is exported with torch")


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def edit(folder, **change):
    path = folder / "model.json"
    content = json.loads(path.read_text())
    content.update(change)
    path.write_text(json.dumps(content))


def test_a_specification_survives_json():
    spec = ModelSpec(
        name="x",
        grid=PolarGrid(n_rho=12),
        features=FeatureSpec(point=("rho", "visibility"), visibility=VisibilitySpec((0.1, 0.5))),
        training={"seed": 4},
    )
    assert ModelSpec.from_json(spec.to_json(), "here") == spec


def test_a_missing_model_lists_the_shipped_ones(tmp_path):
    with pytest.raises(ModelError, match=r"no model 'nowhere'.*one of"):
        find_model("nowhere")
    with pytest.raises(ModelError):
        find_model(tmp_path)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_missing_or_changed_graph_names_itself(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(ModelError, match=f"{name}: damaged or replaced"):
        load_spec(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: cannot read"):
        load_spec(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"classes": ["a", "b"]},
        {"grid": {"n_rho": 0}},
        {"grid": {"rows": 4}},
        {"grid": 7},
        {"features": {"point": ["rho"]}},
        {"moving_threshold": 1.5},
        {"connected_threshold": 0},
        {"connected_threshold": 0.9},
        {"connected_threshold": "low"},
        {"unheard_of": 1},
    ],
)
def test_a_specification_that_cannot_be_is_refused(folder, change):
    edit(folder, **change)
    with pytest.raises(ModelError, match=r"model\.json: not a usable model specification"):
        load_spec(folder)


def test_a_connected_threshold_survives_json_and_is_not_written_without_one():
    with_one = ModelSpec(name="x", moving_threshold=0.9, connected_threshold=0.25)
    assert ModelSpec.from_json(with_one.to_json(), "here") == with_one
    assert "connected" not in ModelSpec(name="x").to_json()


def test_text_that_is_no_json_is_refused(folder):
    (folder / "model.json").write_bytes(b"\xff{")
    with pytest.raises(ModelError, match="not a usable"):
        load_spec(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": PolarGrid(n_rho=48, n_phi=44, n_z=12)}, "appearance"),
        ({"grid": PolarGrid(n_rho=48, n_phi=40, n_z=16)}, "logits"),
        ({"features": FeatureSpec(point=("rho",))}, "point_features"),
        ({"features": FeatureSpec(slabs_m=(0.0, 1.0))}, "motion channels"),
    ],
)
def test_graphs_of_another_grid_or_other_features_are_refused(folder, change, message):
    save_spec(dataclasses.replace(load_spec(folder), **change), folder)
    with pytest.raises(ModelError, match=message):
        Engine(folder, "cpu")


def test_a_graph_that_is_none_is_refused(folder):
    (folder / "bev.onnx").write_bytes(b"no graph")
    save_spec(load_spec_unchecked(folder), folder)
    with pytest.raises(ModelError, match=r"bev\.onnx: ONNX Runtime cannot load it"):
        Engine(folder, "cpu")


def load_spec_unchecked(folder):
    return ModelSpec.from_json((folder / "model.json").read_text(), "test")


def test_an_unknown_provider_is_refused(folder):
    with pytest.raises(ValueError, match="provider must be"):
        Engine(folder, "abacus")
