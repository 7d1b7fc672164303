"""What a training begins from, and the mean of several that ships, on the toy recipe."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.resources import share_dir

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.inference.model import load_spec  # noqa: E402
from kdmos_ros.train.config.recipe import load_recipe  # noqa: E402
from kdmos_ros.train.data.training_drives import StoredDrive  # noqa: E402
from kdmos_ros.train.data.training_samples import Batch, drive_samples  # noqa: E402
from kdmos_ros.train.fitting.fit import fit  # noqa: E402
from kdmos_ros.train.fitting.initial_weights import START, earlier_student  # noqa: E402
from kdmos_ros.train.fitting.validation import moving_probability  # noqa: E402
from kdmos_ros.train.networks.weights import load_student  # noqa: E402
from kdmos_ros.train.stages import train  # noqa: E402

pytestmark = pytest.mark.slow

RECIPES = share_dir() / "config" / "train"


def test_what_ships_can_be_the_mean_of_several(toy_run, tmp_path):
    recipe, work, model = toy_run
    plan = replace(recipe.fit, averaged_with=("../other.pt",))
    averaged = replace(recipe, fit=plan, distil=None)
    for name in ("drives", "validation"):
        (tmp_path / name).symlink_to(work / name)
    folder = tmp_path / "student"
    folder.mkdir()
    shutil.copy(work / "checkpoint.pt", folder)
    with pytest.raises(KdmosError, match=r"other\.pt"):
        train(averaged, "", tmp_path, tmp_path / "model", "export", student_name="student")
    assert not (tmp_path / "model").exists()
    first = load_student(work / "checkpoint.pt", recipe.student_config())
    other = {k: v + 0.02 if v.is_floating_point() else v for k, v in first.state_dict().items()}
    torch.save(other, tmp_path / "other.pt")
    train(averaged, "", tmp_path, tmp_path / "model", "export", student_name="student")
    shipped = load_student(folder / "weights.pt", recipe.student_config()).state_dict()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(
            shipped[name], value + 0.01 if value.is_floating_point() else value
        )
    assert load_spec(tmp_path / "model").sha256["bev.onnx"] != load_spec(model).sha256["bev.onnx"]
    card = (tmp_path / "model/CARD.md").read_text()
    assert "mean of the weights trained here and `../other.pt`" in card


def test_what_a_mean_lacks_in_features_it_is_given(toy_run, tmp_path):
    recipe, work, _ = toy_run
    more = replace(recipe.features, height_residuals=True)
    plan = replace(
        recipe.fit, steps=1, learning_rate=1e-9, weight_decay=0.0, start_from="../first.pt",
        start_features=recipe.features, averaged_with=("../first.pt",),
    )  # fmt: skip
    shutil.copy(work / "checkpoint.pt", tmp_path / "first.pt")
    for name in ("drives", "validation"):
        (tmp_path / name).symlink_to(work / name)
    recipe = replace(recipe, fit=plan, features=more, distil=None)
    for stage in ("student", "export"):
        train(recipe, "", tmp_path, tmp_path / "model", stage, student_name="student")
    shipped = load_student(tmp_path / "student/weights.pt", recipe.student_config())
    first = earlier_student(tmp_path / "student", "../first.pt", recipe)
    assert first.config == recipe.student_config()
    for a, b in zip(shipped.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert load_spec(tmp_path / "model").features == more


def test_a_run_can_start_from_the_weights_of_another(toy_run, tmp_path):
    recipe, work, _ = toy_run
    drives = [StoredDrive(path) for path in sorted((work / "drives").glob("*.npz"))]
    plan = replace(recipe.fit, steps=1, learning_rate=1e-9, weight_decay=0.0)
    shutil.copy(work / "checkpoint.pt", tmp_path / "first.pt")
    plan = replace(plan, start_from="../first.pt")
    student = fit(replace(recipe, fit=plan, distil=None), drives, tmp_path / "next")
    first = load_student(work / "checkpoint.pt", recipe.student_config())
    for a, b in zip(student.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    plan = replace(plan, steps=2)
    (tmp_path / "first.pt").rename(tmp_path / "moved.pt")
    fit(replace(recipe, fit=plan, distil=None), drives, tmp_path / "next")  # goes on without it
    (tmp_path / "moved.pt").rename(tmp_path / "first.pt")
    wider = {**recipe.student, "width": 2 * recipe.student["width"]}
    grown = replace(plan, start_student={"width": recipe.student["width"]})
    grown = fit(replace(recipe, fit=grown, distil=None, student=wider), drives, tmp_path / "wider")
    assert grown.config.decoder_widths == tuple(2 * n for n in first.config.decoder_widths)
    plan = replace(plan, start_from="missing.pt")
    with pytest.raises(KdmosError, match=r"missing\.pt"):
        fit(replace(recipe, fit=plan, distil=None), drives, tmp_path / "other")


def probability_of(student, features, drive):
    """Of the points of a drive's second scan."""
    sample = list(drive_samples(drive.load(), load_recipe(RECIPES / "toy.yaml").grid, features))[1]
    batch = Batch.of([sample])
    with torch.no_grad():
        return moving_probability(student(batch.point, batch.cell, batch.z_bin, batch.motion))


def test_a_run_can_start_from_a_model(toy_run, tmp_path):
    recipe, work, model = toy_run
    drives = [StoredDrive(path) for path in sorted((work / "drives").glob("*.npz"))]
    plan = replace(recipe.fit, steps=1, learning_rate=1e-9, weight_decay=0.0)
    plan = replace(plan, start_from=str(model))
    more = replace(recipe.features, height_residuals=True)
    new = replace(recipe, fit=plan, features=more, distil=None)
    fit(new, drives, tmp_path / "next")
    began = load_student(tmp_path / "next" / START, new.student_config())
    first = load_student(work / "checkpoint.pt", recipe.student_config())
    before, after = (
        probability_of(student, features, drives[0])
        for student, features in ((first, recipe.features), (began, more))
    )
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert after.std() > 0.01
    moved = {name: value.abs().max() for name, value in began.named_buffers() if "mean" in name}
    assert min(moved.values()) > 0, "measured, not as read"
    with pytest.raises(KdmosError, match="no model 'nowhere'"):
        fit(replace(new, fit=replace(plan, start_from="nowhere")), drives, tmp_path / "other")
