"""Points of small objects count for more."""

import numpy as np
import pytest

from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.object_kinds import Kind
from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.data.object_weights import object_weights


def scene(*objects):
    """points, labels, kinds of objects (points, x, label, kind), each within a cell."""
    n = [size for size, *_ in objects]
    points = np.zeros((sum(n), 3), np.float32)
    points[:, 0] = np.repeat([x for _, x, _, _ in objects], n)
    labels = np.repeat([label for *_, label, _ in objects], n).astype(np.uint8)
    kind = np.repeat([kind for *_, kind in objects], n).astype(np.uint8)
    return points, labels, kind


def test_an_object_of_four_times_the_points_has_twice_the_weight():
    content = scene(
        (100, 5, MOVING, Kind.PEDESTRIAN), (400, 9, MOVING, Kind.CAR), (7, 20, STATIC, 0)
    )
    weights = object_weights(*content, 100)
    of_each = [weights[:100].sum(), weights[100:500].sum()]
    assert of_each == pytest.approx([100, 200])
    assert (weights[500:] == 1).all(), "what is no object counts as ever"


def test_neighbours_of_another_kind_or_class_are_others():
    content = scene(
        (50, 5.1, MOVING, Kind.PEDESTRIAN),
        (50, 5.1, MOVABLE, Kind.PEDESTRIAN),
        (50, 5.1, MOVING, Kind.CAR),
    )
    np.testing.assert_allclose(object_weights(*content, 50), 1)


def test_no_point_counts_for_everything_or_nothing():
    content = scene((1, 5, MOVING, Kind.CAR), (9000, 20, MOVING, Kind.TRUCK))
    weights = object_weights(*content, 200)
    assert weights[0] == 8 and weights[1:].min() == weights[1:].max() == 0.25


def test_a_kind_may_count_for_more():
    content = scene((50, 5, MOVING, Kind.PEDESTRIAN), (50, 9, MOVABLE, Kind.CAR))
    weights = object_weights(*content, 50, {int(Kind.PEDESTRIAN): 3.0})
    np.testing.assert_allclose(weights, [3.0] * 50 + [1.0] * 50)


def test_a_recipe_names_kinds():
    plan = FitRecipe(object_points=200, kind_weights={"pedestrian": 3})
    assert plan.weights_of_kinds() == {int(Kind.PEDESTRIAN): 3.0}
    with pytest.raises(ValueError, match="no kinds of that name: person"):
        FitRecipe(object_points=200, kind_weights={"person": 3})
    with pytest.raises(ValueError, match="need object_points"):
        FitRecipe(kind_weights={"pedestrian": 3})
