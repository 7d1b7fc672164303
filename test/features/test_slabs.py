"""In which height slab a point lies."""

import numpy as np
import pytest

from kdmos_ros.features.slabs import NO_SLAB, slabs_of

EDGES = np.float32([0.1, 0.4, 1.2, 3.5])


@pytest.mark.parametrize(
    ("height", "slab"),
    [
        (0.1, NO_SLAB),
        (0.2, 0),
        (0.4, 0),
        (0.41, 1),
        (1.2, 1),
        (3.5, 2),
        (3.51, NO_SLAB),
        (-1.0, NO_SLAB),
        (np.inf, NO_SLAB),
        (np.nan, NO_SLAB),
    ],
)
def test_the_upper_edge_belongs_to_a_slab(height, slab):
    assert slabs_of(np.float32([height]), EDGES).tolist() == [slab]


def test_slabs_are_those_between_the_edges():
    heights = np.random.default_rng(0).uniform(-0.5, 4.5, 5000).astype(np.float32)
    expected = np.digitize(heights, EDGES, right=True) - 1
    expected[expected == len(EDGES) - 1] = NO_SLAB
    np.testing.assert_array_equal(slabs_of(heights, EDGES), expected)
