"""Variants of a recipe, trained and compared by one command."""

import json

import numpy as np
import pytest
import yaml
from drive_harness import write_drive

from kdmos_ros.errors import KdmosError
from kdmos_ros.resources import share_dir

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.cli import main  # noqa: E402
from kdmos_ros.train.ablation import Plan, Row, load_plan, run_plan  # noqa: E402
from kdmos_ros.train.config.overrides import applied, as_settings, parse  # noqa: E402
from kdmos_ros.train.config.recipe import load_recipe  # noqa: E402

pytestmark = pytest.mark.slow

CONFIG = share_dir() / "config"
TOY = CONFIG / "train" / "toy.yaml"


def write_plan(folder, groups, **more):
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"recipe": str(TOY), "groups": groups, **more}))
    return path


def write_recording(folder):
    """Four scans, a third of whose points move by their labels."""
    folder.mkdir()
    write_drive(folder / "bag", 4, 300)
    (folder / "labels").mkdir()
    truth = np.where(np.arange(300) % 3, 9, 251).astype("<u4")
    for i in range(4):
        truth.tofile(folder / "labels" / f"{i:06d}.label")
    return folder


def test_changes_reach_the_recipe():
    changes = parse(["distil.loss=kl", "distil.class_weights=null", "seed=7", "fit.steps=3"])
    recipe = load_recipe(TOY, changes)
    assert (recipe.distil.loss, recipe.seed, recipe.fit.steps) == ("kl", 7, 3)
    assert load_recipe(TOY).distil.loss == "wdcd"
    assert load_recipe(TOY, parse(["distil=null"])).distil is None


def test_settings_are_read_back_as_they_were():
    values = {"a.b": None, "c": [1, "x"], "d": 2.5, "e": "text", "f": {"g": True}}
    assert parse(as_settings(values)) == values


@pytest.mark.parametrize("text", ["seed", "=3", "seed=[1"])
def test_settings_that_are_none(text):
    with pytest.raises(KdmosError, match=r"KEY=VALUE|not YAML"):
        parse([text])


def test_a_change_leads_through_sections_only():
    content = {"fit": {"steps": 1}, "seed": 1}
    assert applied(content, {"fit.steps": 2, "new.entry": 3}) == {
        "fit": {"steps": 2}, "seed": 1, "new": {"entry": 3},
    }  # fmt: skip
    assert content == {"fit": {"steps": 1}, "seed": 1}
    with pytest.raises(ValueError, match="seed is no section"):
        applied(content, {"seed.x": 1})


def test_unknown_entries_are_named_with_their_row(tmp_path):
    path = write_plan(tmp_path, {"Losses": {"odd": {"set": {"fit.stepz": 1}}}})
    with pytest.raises(KdmosError, match=r"plan\.yaml, Losses, odd: .*stepz"):
        load_plan(path)


@pytest.mark.parametrize("row", [{"sets": {"fit.steps": 1}}, {"seed": 3}, {"seeds": []}])
def test_rows_that_would_not_be_what_they_say(tmp_path, row):
    path = write_plan(tmp_path, {"Losses": {"odd": row}})
    with pytest.raises(KdmosError, match=r"plan\.yaml: not a plan .*(unknown: se|no seed)"):
        load_plan(path)


@pytest.mark.parametrize("key", ["data.drives", "teacher.fit.steps", "teacher"])
def test_no_row_changes_what_all_share(tmp_path, key):
    path = write_plan(tmp_path, {"Losses": {"odd": {"set": {key: 3}}}})
    with pytest.raises(KdmosError, match=f"odd: all rows share .* none can set {key}"):
        load_plan(path)


@pytest.mark.parametrize("content", ["3", "recipe: a.yaml", "recipe: [", "groups: {a: {b: 3}}"])
def test_what_is_no_plan(tmp_path, content):
    path = tmp_path / "plan.yaml"
    path.write_text(content)
    with pytest.raises(KdmosError, match=r"plan\.yaml: not a plan"):
        load_plan(path)


def test_two_rows_of_one_name_are_the_same_or_refused(tmp_path):
    same = {"alone": {"set": {"distil": None}, "seeds": [1, 2]}}
    plan = load_plan(write_plan(tmp_path, {"A": same, "B": same}))
    assert len(list(plan.students())) == 2
    other = {"alone": {"set": {"fit.steps": 1}}}
    with pytest.raises(KdmosError, match="two different rows are called 'alone'"):
        load_plan(write_plan(tmp_path, {"A": same, "B": other}))


def test_the_shipped_plan_is_usable():
    plan = load_plan(CONFIG / "ablation.yaml")
    names = {row.name for row in plan.rows}
    assert {"student alone", "KL", "DKD", "WDCD as published"} <= names
    for row in plan.rows:
        if row.name in ("student alone", "WDCD with T^2"):
            assert len(row.seeds) >= 3, "their difference needs a spread"


def test_row_names_are_folders():
    assert Row("lags 0.2, 0.4 s", "Motion").student(3) == "lags_0_2_0_4_s_3"


def test_a_recipe_without_a_teacher_can_be_compared_too(tmp_path):
    content = yaml.safe_load(TOY.read_text())
    del content["teacher"], content["distil"]
    content["data"] = {"drives": 1, "validation_drives": 1, "scans": 1, "sensors": {"vlp16": 1.0}}
    recipe = tmp_path / "alone.yaml"
    recipe.write_text(yaml.safe_dump(content))
    run_plan(Plan(recipe, ()), tmp_path / "work")
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"drives", "validation"}


def test_variants_are_trained_once_and_compared(tmp_path, capsys):
    plan = write_plan(
        tmp_path,
        {
            "Losses": {
                "alone": {"set": {"distil": None, "fit.steps": 2}, "seeds": [1, 2]},
                "with teacher": {"set": {"fit.steps": 2}},
            }
        },
        recordings={"clip": str(write_recording(tmp_path / "clip"))},
    )
    work, report = tmp_path / "work", tmp_path / "table.md"
    command = ["ablate", str(plan), "--work", str(work), "--report", str(report)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert all(
        f"{name}: moving IoU" in printed for name in ("alone_1", "alone_2", "with_teacher_1")
    )
    text = report.read_text()
    metrics = [json.loads((work / f"alone_{i}" / "figures.json").read_text()) for i in (1, 2)]
    for each in metrics:
        for parts in (each["by_range"], each["by_class"]):
            assert sum(part["points"] for part in parts.values()) == each["points"] > 0
    false_alarms = 50 * sum(each["false_positive_share"] for each in metrics)
    line = next(line for line in text.splitlines() if line.startswith("| alone |"))
    assert f"| {false_alarms:.2f} % (" in line and f"{metrics[0]['parameters']:,}" in line
    assert "--set fit.steps=2 --set seed=1 --work work --student with_teacher_1" in text
    teacher = json.loads((work / "teacher" / "figures.json").read_text())["iou_moving"]
    mean = sum(each["iou_moving"] for each in metrics) / 2
    assert f"| moving IoU | {teacher:.3f} | {mean:.3f} |" in text
    on_clip = metrics[0]["recordings"]["clip"]
    assert on_clip["scans"] == 4 and on_clip["iou_moving"] is not None
    ious = [each["recordings"]["clip"]["iou_moving"] for each in metrics]
    assert f"| clip | alone | {sum(ious) / 2:.3f} (" in text
    # The same noise, the same network, another loss: the teacher was listened to.
    assert "distil" in (work / "with_teacher_1" / "log.jsonl").read_text()
    assert "distil" not in (work / "alone_1" / "log.jsonl").read_text()

    trained = (work / "alone_1" / "checkpoint.pt").stat().st_mtime_ns
    assert main(command) == 0
    assert (work / "alone_1" / "checkpoint.pt").stat().st_mtime_ns == trained
    assert report.read_text() == text
