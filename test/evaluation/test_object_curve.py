"""Figures by object at every threshold are those that each threshold gives alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_harness import blob

from kdmos_ros.evaluation.object_curve import NO_SCANS, object_curve
from kdmos_ros.evaluation.object_metrics import false_alarms, moving_truth
from kdmos_ros.evaluation.threshold_curve import N_BINS
from kdmos_ros.labels import MOVING, STATIC, UNLABELLED
from kdmos_ros.sim import Kind

THRESHOLDS = [cut / N_BINS for cut in range(1, N_BINS, 13)]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(1, 12))
def test_every_threshold_gives_what_it_gives_alone(seed, n, extent):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-extent, extent, (n, 3)).astype(np.float32)
    truth = rng.choice(np.uint8([MOVING, STATIC, STATIC, UNLABELLED]), n)
    instance = rng.integers(0, 4, n).astype(np.int32)
    kind = np.zeros(n, np.uint8)
    # In the middle of the bins, so that rounding decides nothing.
    evidence = ((rng.integers(0, N_BINS, n) + 0.5) / N_BINS).astype(np.float32)
    curve = object_curve(points, truth, evidence, kind, instance)
    for threshold in THRESHOLDS:
        predicted = np.where(evidence >= threshold, MOVING, STATIC).astype(np.uint8)
        objects = moving_truth(points, truth, kind, instance=instance)
        found = objects.found(predicted)
        assert curve.recall(threshold) == (found.mean() if len(found) else None)
        if curve.scans:
            alarms = len(false_alarms(points, truth, predicted))
            assert curve.false_alarms_a_scan(threshold) == alarms


def test_clusters_that_merge_count_once():
    """Two false alarms at a high threshold are one when the points between them move too."""
    points = blob(60, 5.1, width=5.9)
    truth, kind = np.full(60, STATIC, np.uint8), np.zeros(60, np.uint8)
    evidence = np.full(60, 0.9025, np.float32)
    evidence[20:40] = 0.5025
    curve = object_curve(points, truth, evidence, kind)
    at = [curve.false_alarms_a_scan(threshold) for threshold in (0.95, 0.9, 0.55, 0.5, 0.05)]
    assert at == [0, 2, 2, 1, 1]


def test_curves_add_up_and_tell_parts():
    points = np.concatenate([blob(20, 5.1), blob(20, 30.1)])
    truth = np.full(40, MOVING, np.uint8)
    kind = np.repeat(np.uint8([Kind.CAR, Kind.PEDESTRIAN]), 20)
    evidence = np.repeat(np.float32([0.9025, 0.3025]), 20)
    one = object_curve(points, truth, evidence, kind)
    summary = (one + one + NO_SCANS).summary(0.5)
    assert (summary["recall"], summary["objects"], summary["scans"]) == (0.5, 4, 2)
    assert summary["by_range"]["0-20 m"] == {"recall": 1.0, "objects": 2}
    assert summary["by_range"]["35-50 m"] == {"recall": None, "objects": 0}
    assert summary["by_class"]["pedestrian"] == {"recall": 0.0, "objects": 2}
    assert one.recall(0.3) == 1.0 and one.recall(0.95) == 0.0


def test_scans_without_labels_are_no_scans():
    points, nothing = blob(20, 5.1), np.zeros(20, np.uint8)
    curve = object_curve(points, nothing, np.ones(20, np.float32), nothing)
    assert curve.scans == 0 and curve.false_alarms_a_scan(0.5) is None
    assert curve.recall(0.5) is None and pytest.approx(0) == curve.false_alarms.sum()
