"""The whole chain on the toy recipe: simulate, fit, resume, threshold, export, run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.resources import share_dir

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.cli import main  # noqa: E402
from kdmos_ros.evaluation.threshold_curve import ThresholdCurve  # noqa: E402
from kdmos_ros.inference.model import load_spec  # noqa: E402
from kdmos_ros.io.drive_file import load_drive  # noqa: E402
from kdmos_ros.scan import Scan  # noqa: E402
from kdmos_ros.segmentation.segmenter import Segmenter  # noqa: E402
from kdmos_ros.train.config.fit_recipe import FitRecipe  # noqa: E402
from kdmos_ros.train.config.recipe import TeacherRecipe  # noqa: E402
from kdmos_ros.train.data.training_drives import StoredDrive  # noqa: E402
from kdmos_ros.train.data.training_samples import Batch, drive_samples  # noqa: E402
from kdmos_ros.train.fitting.fit import fit  # noqa: E402
from kdmos_ros.train.fitting.loop import learning_rate  # noqa: E402
from kdmos_ros.train.fitting.validation import moving_probability  # noqa: E402
from kdmos_ros.train.networks.weights import load_student  # noqa: E402
from kdmos_ros.train.stages import train  # noqa: E402

pytestmark = pytest.mark.slow

RECIPES = share_dir() / "config" / "train"


def test_the_model_says_how_it_was_made(toy_run):
    recipe, _, folder = toy_run
    spec = load_spec(folder)
    assert spec.name == recipe.name and spec.grid == recipe.grid
    assert spec.training["recipe"]["seed"] == recipe.seed
    card = (folder / "CARD.md").read_text()
    for fact in (spec.sha256["bev.onnx"], "kdmos train toy.yaml", f"{spec.moving_threshold:g}"):
        assert fact in card


def test_the_student_learned_from_the_teacher(toy_run):
    _, work, folder = toy_run
    drives = sorted((work / "drives").glob("*.npz"))
    assert sorted(p.name for p in (work / "logits").iterdir()) == [p.name for p in drives]
    last = json.loads((work / "log.jsonl").read_text().splitlines()[-1])
    assert last["distil"] > 0
    assert last["loss"] == pytest.approx(
        last["cross_entropy"] + last["lovasz"] + last["distil"], rel=1e-4
    )
    metrics = json.loads((work / "teacher" / "figures.json").read_text())
    assert 0 <= metrics["iou_moving"] <= 1
    for parts in (metrics["by_range"], metrics["by_class"]):
        assert sum(part["points"] for part in parts.values()) == metrics["points"] > 0
    validation = load_spec(folder).training["simulated_validation"]
    for part in (metrics["by_object"], validation["by_object"]):
        assert sum(band["objects"] for band in part["by_range"].values()) == part["objects"]
        assert part["scans"] > 0 and part["false_alarms_a_scan"] >= 0
    assert "0.3 x wdcd" in (folder / "CARD.md").read_text()


def test_a_trained_teacher_is_judged_and_distilled_without_training(toy_run, tmp_path):
    """The folder that the stage teacher leaves is all that another recipe needs."""
    recipe, work, _ = toy_run
    for name in ("drives", "validation"):
        shutil.copytree(work / name, tmp_path / name)
    left = work / "teacher"
    assert "4, 1 scans each" in (left / "CARD.md").read_text()
    other = replace(recipe, teacher=TeacherRecipe(trained=str(left)))
    train(other, "", tmp_path, None, "teacher")
    assert sorted(p.name for p in (tmp_path / "teacher").iterdir()) == ["figures.json"]
    again = json.loads((tmp_path / "teacher" / "figures.json").read_text())
    assert again == json.loads((left / "figures.json").read_text())
    train(other, "", tmp_path, None, "logits")
    for path in (work / "logits").iterdir():
        with np.load(path) as own, np.load(tmp_path / "logits" / path.name) as made:
            np.testing.assert_array_equal(made["logits"], own["logits"])
            assert str(made["source"]) == str(own["source"])


def test_the_model_can_be_evaluated(toy_run, tmp_path, capsys):
    _, _, folder = toy_run
    bag = tmp_path / "drive"
    assert (
        main(["simulate", str(bag), "--sensor", "vlp16", "--duration", "0.6", "--seed", "4"]) == 0
    )
    report = tmp_path / "figures.json"
    assert main(["eval", str(bag), "--model", str(folder), "--json", str(report)]) == 0
    assert json.loads(report.read_text())


def test_stages_run_one_by_one_or_say_what_is_missing(toy_run, tmp_path):
    recipe, work, folder = toy_run
    for name in ("drives", "validation"):
        shutil.copytree(work / name, tmp_path / name)
    with pytest.raises(KdmosError, match="no trained teacher yet; run the stage teacher first"):
        train(recipe, "", tmp_path, None, "student")
    train(recipe, "", tmp_path, None, "teacher")
    with pytest.raises(KdmosError, match=r"no teacher logits of drive_\d+/000000"):
        train(recipe, "", tmp_path, None, "student")
    train(recipe, "", tmp_path, None, "logits")
    with pytest.raises(KdmosError, match="no trained student yet; run the stage student first"):
        train(recipe, "", tmp_path, tmp_path / "model", "export")
    train(recipe, "", tmp_path, None, "student")
    with pytest.raises(KdmosError, match="--out"):
        train(recipe, "", tmp_path, None, "export")
    train(recipe, "", tmp_path, tmp_path / "model", "export")
    assert load_spec(tmp_path / "model").sha256 == load_spec(folder).sha256, "not the same model"


def test_an_unfinished_student_is_not_exported(toy_run, tmp_path):
    recipe, work, _ = toy_run
    shutil.copytree(work, tmp_path / "work")
    longer = replace(recipe, fit=replace(recipe.fit, steps=9))
    with pytest.raises(KdmosError, match="has done 6 of 9 steps; run the stage student again"):
        train(longer, "", tmp_path / "work", tmp_path / "model", "export")


def test_stages_that_a_recipe_does_not_have(toy_run, tmp_path):
    plain = replace(toy_run[0], teacher=None, distil=None)
    for stage, message in (("teacher", "no teacher"), ("logits", "no distil"), ("x", "no stage")):
        with pytest.raises(KdmosError, match=message):
            train(plain, "", tmp_path, None, stage)


def test_the_node_sees_what_training_saw(toy_run):
    """The exported model in the segmenter gives the student's own probabilities on its drives."""
    recipe, work, folder = toy_run
    path = sorted((work / "validation").glob("*.npz"))[0]
    student = load_student(work / "checkpoint.pt", recipe.student_config())
    drive = load_drive(path)
    segmenter = Segmenter(folder, provider="cpu", mount=drive.base_T_sensor)
    for sample, labelled in zip(
        drive_samples(drive, recipe.grid, recipe.features), drive.scans, strict=True
    ):
        batch = Batch.of([sample])
        with torch.no_grad():
            logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
        seen = segmenter.push(labelled.scan).moving_probability[sample.frame.index]
        if sample.frame.n_past:
            np.testing.assert_allclose(seen, moving_probability(logits), atol=1e-4)
        else:
            assert not seen.any(), "without an earlier scan there is no evidence"


def test_a_stopped_run_goes_on(toy_run, tmp_path):
    recipe, work, _ = toy_run
    shutil.copy(work / "checkpoint.pt", tmp_path)
    drives = sorted((work / "drives").glob("*.npz"))
    longer = replace(recipe, distil=None, fit=FitRecipe(steps=8, checkpoint_every=1, mix=4))
    fit(longer, [StoredDrive(path) for path in drives], tmp_path)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [8], "it did not start again from the beginning"


def test_training_follows_its_seed(toy_run, tmp_path):
    recipe, work, _ = toy_run
    drives = sorted((work / "drives").glob("*.npz"))
    short = replace(recipe, distil=None, fit=FitRecipe(steps=2, warm_up_steps=1, mix=4))
    weights = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        student = fit(short, [StoredDrive(path) for path in drives], tmp_path / name)
        weights.append(torch.cat([p.flatten() for p in student.parameters()]))
    torch.testing.assert_close(weights[0], weights[1])


def test_the_learning_rate_goes_through_its_cycles():
    one = FitRecipe(steps=200, warm_up_steps=20)
    two = FitRecipe(steps=400, warm_up_steps=20, cycles=2)
    rates = [learning_rate(two, step) for step in range(400)]
    assert rates[:200] == [learning_rate(one, step) for step in range(200)]
    assert rates[0] == 1 / 20 and rates[20] == 1 and rates[199] < 0.011
    assert rates[200] == 1 and rates[300] == pytest.approx(0.505) and rates[399] < 0.011


def test_the_best_threshold_is_the_best():
    rng = np.random.default_rng(0)
    curve = ThresholdCurve(rng.integers(0, 50, 200), rng.integers(0, 50, 200)[::-1].cumsum()[::-1])
    best = curve.best_threshold()
    assert all(curve.iou(best) >= curve.iou(t / 200) for t in range(1, 200))
    tp, fp, fn = curve.confusion(0.25)
    assert (tp, fp, fn) == (
        curve.moving[50:].sum(),
        curve.other[50:].sum(),
        curve.moving[:50].sum(),
    )
    assert curve.summary(0.25)["iou_moving"] == pytest.approx(tp / (tp + fp + fn))


def test_the_quiet_threshold_is_the_lowest_that_is_quiet():
    other = np.zeros(200, np.int64)
    other[[0, 100, 150]] = [9900, 60, 40]
    curve = ThresholdCurve(np.zeros(200, np.int64), other)
    assert curve.quiet_threshold(0.01) == 1 / 200
    assert curve.quiet_threshold(0.004) == 101 / 200
    assert curve.quiet_threshold(0.003) == 151 / 200
    other[199] = 100
    assert ThresholdCurve(other, other).quiet_threshold(0) == 199 / 200, "the highest there is"
    both = curve + curve
    assert both.other.sum() == 2 * curve.other.sum()


def test_scans_of_a_simulated_drive_are_scans(toy_run):
    _, work, _ = toy_run
    drive = load_drive(sorted((work / "drives").glob("*.npz"))[0])
    assert all(isinstance(s.scan, Scan) and len(s.labels) == len(s.kind) for s in drive.scans)
    gaps = np.diff([s.scan.stamp_ns for s in drive.scans])
    np.testing.assert_allclose(gaps, 0.2e9, atol=1e6)
