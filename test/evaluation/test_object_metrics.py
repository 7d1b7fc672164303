"""What an object, a find and a false alarm are, by hand and against a plain implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_harness import blob

from kdmos_ros.evaluation.object_metrics import (
    FALSE_ALARM_POINTS,
    MIN_POINTS,
    false_alarms,
    moving_truth,
)
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.sim import Kind
from kdmos_ros.tracking.clusters import CELL_M, cluster_of_each


def objects_of(points, truth=None, **known):
    truth = np.full(len(points), MOVING, np.uint8) if truth is None else truth
    kind = known.pop("kind", np.zeros(len(points), np.uint8))
    return moving_truth(points, truth, kind, **known)


def called(n, moving):
    predicted = np.full(n, STATIC, np.uint8)
    predicted[moving] = MOVING
    return predicted


def test_points_that_hang_together_are_one_object():
    points = np.concatenate([blob(10, 5.1), blob(9, 30.1), blob(MIN_POINTS - 1, 50.1)])
    objects = objects_of(points)
    assert sorted(objects.n_points) == [9, 10], "a few points are no object"
    near = int(np.argmin(objects.range_m))
    assert objects.range_m[near] == pytest.approx(np.median(points[:10, 0]), abs=1e-4)
    assert set(objects.rows[objects.object == near]) == set(range(10))


@pytest.mark.parametrize(("hits", "found"), [(3, False), (4, True), (8, True)])
def test_found_from_half_of_the_points_on(hits, found):
    objects = objects_of(blob(8, 5.1))
    assert objects.found(called(8, slice(hits))).tolist() == [found]


def test_half_of_an_odd_number_is_more_than_half():
    objects = objects_of(blob(9, 5.1))
    assert not objects.found(called(9, slice(4)))[0] and objects.found(called(9, slice(5)))[0]


def test_movable_and_unlabelled_predictions_find_nothing():
    objects = objects_of(blob(8, 5.1))
    for value in (MOVABLE, UNLABELLED, STATIC):
        assert not objects.found(np.full(8, value, np.uint8)).any()


def test_instance_ids_go_before_cells():
    """Two people side by side share cells; one lorry may be in two pieces."""
    people = np.concatenate([blob(10, 5.1), blob(10, 5.1, y=0.2)])
    ids = np.repeat(np.int32([7, 9]), 10)
    assert len(objects_of(people).n_points) == 1
    assert objects_of(people, instance=ids).n_points.tolist() == [10, 10]
    lorry = np.concatenate([blob(6, 5.1), blob(6, 12.1)])
    assert not len(objects_of(lorry).n_points)
    assert objects_of(lorry, instance=np.full(12, 3, np.int32)).n_points.tolist() == [12]


def test_moving_points_without_an_id_are_joined_over_cells():
    points = np.concatenate([blob(10, 5.1), blob(10, 20.1), blob(10, 40.1)])
    ids = np.repeat(np.int32([4, 0, 0]), 10)
    assert objects_of(points, instance=ids).n_points.tolist() == [10, 10, 10]


def test_what_is_not_moving_or_not_labelled_is_no_part_of_an_object():
    points = np.concatenate([blob(8, 5.1), blob(8, 5.1, y=0.3)])
    for value in (UNLABELLED, STATIC, MOVABLE):
        truth = np.repeat(np.uint8([MOVING, value]), 8)
        objects = objects_of(points, truth, instance=np.full(16, 1, np.int32))
        assert objects.n_points.tolist() == [8]
        # What is called moving beside it neither helps nor harms.
        assert objects.found(called(16, slice(3, 16))).tolist() == [True]
        assert objects.found(called(16, slice(5, 16))).tolist() == [False]


def test_points_without_a_return_belong_to_nothing():
    points = np.concatenate([blob(8, 5.1), np.full((4, 3), np.nan, np.float32)])
    assert objects_of(points).n_points.tolist() == [8]


def test_kind_and_speed_of_an_object():
    points = blob(9, 5.1)
    kind = np.uint8([Kind.BICYCLE] * 5 + [Kind.CAR] * 4)
    speed = np.float32([4] * 8 + [40])
    objects = objects_of(points, kind=kind, speed=speed)
    assert objects.kind.tolist() == [Kind.BICYCLE] and objects.speed.tolist() == [4.0]
    assert objects_of(points).speed is None


def alarms_of(points, truth, predicted=None):
    predicted = np.full(len(points), MOVING, np.uint8) if predicted is None else predicted
    return false_alarms(points, truth, predicted)


def test_a_false_alarm_needs_fifteen_static_points_together():
    n = FALSE_ALARM_POINTS
    assert len(alarms_of(blob(n, 9.1), np.full(n, STATIC, np.uint8))) == 1
    assert len(alarms_of(blob(n, 9.1), np.full(n, MOVABLE, np.uint8))) == 1
    assert not len(alarms_of(blob(n - 1, 9.1), np.full(n - 1, STATIC, np.uint8)))
    apart = np.concatenate([blob(n - 1, 9.1), blob(n - 1, 30.1)])
    assert not len(alarms_of(apart, np.full(2 * n - 2, STATIC, np.uint8)))


def test_false_alarms_have_a_range():
    points = np.concatenate([blob(20, 9.1), blob(20, -30.1)])
    alarms = alarms_of(points, np.full(40, STATIC, np.uint8))
    assert sorted(alarms) == pytest.approx([9.3, 29.9], abs=0.01)


@pytest.mark.parametrize("value", [MOVING, UNLABELLED])
def test_moving_and_unlabelled_points_are_no_false_alarm_and_connect_nothing(value):
    points = blob(42, 9.1, width=4.1)
    truth = np.full(42, STATIC, np.uint8)
    truth[14:28] = value
    assert not len(alarms_of(points, truth)), "14 static points on either side"
    assert len(alarms_of(points, np.full(42, STATIC, np.uint8))) == 1


def test_nothing_is_called_moving():
    points, truth = blob(20, 9.1), np.full(20, STATIC, np.uint8)
    assert not len(alarms_of(points, truth, np.full(20, UNLABELLED, np.uint8)))
    empty = np.empty((0, 3), np.float32), np.empty(0, np.uint8)
    assert not len(alarms_of(*empty)) and not len(objects_of(*empty).n_points)


def joined_slowly(points):
    """Sets of rows whose cells touch, also by a corner."""
    cells = np.floor(points[:, :2] / CELL_M)
    near = (np.abs(cells[:, None] - cells).max(axis=2) <= 1).astype(float)
    while True:
        further = (near @ near > 0).astype(float)
        if (further == near).all():
            return {frozenset(np.flatnonzero(row)) for row in near}
        near = further


@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(1, 12))
def test_clusters_against_a_plain_implementation(seed, n, extent):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-extent, extent, (n, 3)).astype(np.float32)
    truth = rng.choice(np.uint8([MOVING, MOVING, STATIC, UNLABELLED]), n)
    number = cluster_of_each(points)
    assert set(number) == set(range(number.max() + 1))
    assert {frozenset(np.flatnonzero(number == k)) for k in set(number)} == joined_slowly(points)
    objects = objects_of(points, truth)
    moving = np.flatnonzero(truth == MOVING)
    expected = [moving[sorted(g)] for g in joined_slowly(points[moving])] if len(moving) else []
    expected = {frozenset(g) for g in expected if len(g) >= MIN_POINTS}
    rows = [objects.rows[objects.object == k] for k in range(len(objects.n_points))]
    assert {frozenset(r) for r in rows} == expected
    for k, mine in enumerate(rows):
        ranges = np.hypot(*points[mine, :2].astype(float).T)
        assert objects.range_m[k] == pytest.approx(np.median(ranges))
