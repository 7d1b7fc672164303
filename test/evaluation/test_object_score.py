"""Figures by object over scans: what point figures hide, and the first scan apart."""

import json

import numpy as np
import pytest
from eval_harness import evaluate
from object_harness import blob

from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.evaluation.object_score import OBJECT_RANGE_EDGES_M, ObjectScore
from kdmos_ros.labels import MOVING, STATIC, UNLABELLED
from kdmos_ros.sim import Kind

# A lorry beside the sensor, and five people.
TRUCK, PERSON, PEOPLE = 2000, 20, 5


def street():
    """Points, truth, kinds and speeds of a scan."""
    people = [blob(PERSON, 10.1 + 7 * i, y=6.1) for i in range(PEOPLE)]
    points = np.concatenate([blob(TRUCK, 4.1, width=6), *people, blob(500, -40.1, width=30)])
    truth = np.full(len(points), MOVING, np.uint8)
    truth[-500:] = STATIC
    kind = np.full(len(points), Kind.PEDESTRIAN, np.uint8)
    kind[:TRUCK], kind[-500:] = Kind.TRUCK, Kind.WALL
    speed = np.where(kind == Kind.TRUCK, 12, 1.4).astype(np.float32) * (truth == MOVING)
    return points, truth, kind, speed.astype(np.float32)


def score_of(predicted, scans=2):
    points, truth, kind, speed = street()
    score = ObjectScore()
    for _ in range(scans):
        score.add(points, truth, predicted, kind, speed)
    return score


def test_a_model_that_finds_only_big_objects_scores_badly():
    """0.95 by point, one object in six by object: the five people are missed."""
    _, truth, kind, _ = street()
    predicted = np.where(kind == Kind.TRUCK, MOVING, STATIC).astype(np.uint8)
    confusion = ConfusionAccumulator()
    confusion.add_classes(truth, predicted)
    score = score_of(predicted)
    assert confusion.iou > 0.95 and confusion.precision == 1.0
    assert score.whole.recall == pytest.approx(1 / 6)
    content = score.to_dict()["by_object"]
    assert content["by_class"]["truck"]["recall"] == 1.0
    assert content["by_class"]["pedestrian"] == {"recall": 0.0, "objects": 5, "found": 0}
    assert [band["recall"] for band in content["by_range"]] == [1 / 3, 0.0, 0.0, None, None]
    slow = next(band for band in content["by_speed"] if band["from_mps"] == 1)
    assert (slow["recall"], slow["objects"]) == (0.0, 5)


def test_one_that_finds_the_people_scores_well_whatever_it_costs_in_points():
    _, truth, kind, _ = street()
    predicted = np.where(kind == Kind.PEDESTRIAN, MOVING, STATIC).astype(np.uint8)
    confusion = ConfusionAccumulator()
    confusion.add_classes(truth, predicted)
    assert confusion.iou < 0.05 and score_of(predicted).whole.recall == pytest.approx(5 / 6)


def test_false_alarms_are_counted_by_scan_and_range():
    truth = street()[1]
    predicted = truth.copy()
    predicted[-20:] = MOVING
    score = score_of(predicted, scans=5)
    assert score.false_alarms_a_scan == 1.0 and score.scans == 4
    bands = {
        band["from_m"]: band["false_alarms"] for band in score.to_dict()["by_object"]["by_range"]
    }
    assert bands == {0: 4, 20: 0, 35: 0, 50: 0, 80: 0}
    assert "false alarms a scan 1.00 (4 in 4)" in score.summary()


def test_the_first_scan_of_each_recording_is_apart():
    points, truth, kind, _ = street()
    still = np.full(len(points), STATIC, np.uint8)
    score = ObjectScore()
    for _ in range(2):
        score.begin()
        for predicted in (still, truth, truth):
            score.add(points, truth, predicted, kind)
    content = score.to_dict()
    assert score.whole.recall == 1.0 and content["by_object"]["scans"] == 4
    first = content["first_scans"]
    assert first["scans"] == 2 and first["points"]["fn"] == 2 * (TRUCK + PEOPLE * PERSON)
    assert first["objects"]["objects"] == 12 and first["objects"]["recall"] == 0.0
    assert content["by_object"]["by_speed"] == [], "nobody told the speeds"
    assert any("first scans" in line and "(0 of 12)" in line for line in score.table())


def test_scans_without_labels_do_not_count_but_are_first():
    points, truth, kind, _ = street()
    nothing = np.full(len(points), UNLABELLED, np.uint8)
    score = ObjectScore()
    for labels in (nothing, truth, nothing):
        score.add(points, labels, truth, kind)
    assert (score.first_scans, score.scans, score.whole.recall) == (0, 1, 1.0)


def test_nothing_at_all():
    score = ObjectScore()
    assert score.to_dict()["by_object"]["false_alarms_a_scan"] is None
    assert "n/a (0 of 0)" in score.summary() and len(score.table()) == 1
    json.dumps(score.to_dict())


def test_the_table_names_every_band():
    lines = score_of(street()[1]).table()
    rows = [line.split("  ")[0] for line in lines]
    assert rows[:5] == ["objects", "0-20 m", "20-35 m", "35-50 m", "all"]
    assert {"truck", "pedestrian", "1-2 m/s", "10-15 m/s"} <= set(rows)
    assert len(OBJECT_RANGE_EDGES_M) == 5


def test_eval_prints_and_writes_them(mos_root, forward_segmenter, tmp_path, capsys):
    content = evaluate(tmp_path, mos_root, "--sequence", "30,31", "--by-object")
    printed = capsys.readouterr().out
    assert "moving objects found" in printed and "objects          moving" in printed
    assert content["first_scans"]["scans"] == 2 and content["by_object"]["scans"] == 4


def test_eval_knows_the_objects_of_a_simulated_drive(forward_segmenter, tmp_path):
    options = ["--sensor", "vlp16", "--duration", "1.5", "--rate", "4"]
    content = evaluate(tmp_path, "sim:5", *options)["by_object"]
    assert content["objects"] > 0 and content["scans"] == 5
    assert sum(part["objects"] for part in content["by_class"].values()) == content["objects"]
    assert sum(part["objects"] for part in content["by_speed"]) == content["objects"]
    assert sum(part["false_alarms"] for part in content["by_range"]) == content["false_alarms"] > 0
