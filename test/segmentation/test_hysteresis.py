"""Hysteresis on the grid: what is carried along with sure points, and what is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.segmentation.hysteresis import evidence_of_motion

GRID = PolarGrid()  # rings of 0.2 m, sectors of 1.5 degrees
LOW = 0.25


def evidence(probability, cells, grid=GRID, low=LOW):
    values = np.asarray(probability, np.float32)
    cell = np.array([row * grid.n_phi + column for row, column in cells], np.int32)
    return evidence_of_motion(values, cell, grid, low)


def row_of(n, start=(50, 100), step=1):
    """Cells one behind the other."""
    return [(start[0] + step * i, start[1]) for i in range(n)]


def test_the_side_of_a_moving_car_takes_the_evidence_of_its_front():
    probability = np.linspace(0.99, 0.3, 20)
    result = evidence(probability, row_of(20))
    # A tenth of twenty: the second surest.
    np.testing.assert_allclose(result[1:], np.float32(probability[1]))
    assert result[0] == np.float32(0.99), "never less than a point's own"


def test_where_the_probability_leaps_another_object_begins():
    walker, parked = [0.98] * 5, [0.4] * 30
    result = evidence(walker + parked, row_of(35))
    np.testing.assert_allclose(result[5:], 0.4)


def test_few_sure_points_do_not_carry_many_unsure_ones():
    slope = [0.95, 0.85, 0.75, 0.65, 0.55, 0.45]
    carried = evidence(slope, row_of(6))
    assert (carried > 0.9).all()
    many = evidence(slope + [0.4] * 60, row_of(66))
    assert many[0] == np.float32(0.95) and (many[5:] < 0.7).all()


def test_points_below_the_low_threshold_stay_and_carry_nothing():
    result = evidence([0.9, 0.24, 0.24, 0.24, 0.3], row_of(5))
    np.testing.assert_allclose(result, [0.9, 0.24, 0.24, 0.24, 0.3])


@pytest.mark.parametrize(
    ("cells", "together"),
    [
        ([(50, 100), (52, 100)], True),
        ([(50, 100), (53, 100)], False),
        ([(50, 100), (50, 101)], True),
        ([(50, 100), (50, 102)], False),
        ([(50, 0), (50, 239)], True),  # azimuth wraps
        ([(0, 100), (239, 100)], False),  # distance does not
    ],
)
def test_which_cells_are_neighbours(cells, together):
    result = evidence([0.9, 0.8], cells)
    assert result[1] == np.float32(0.9 if together else 0.8)


def test_a_finer_grid_reaches_as_far():
    fine = PolarGrid(n_rho=480, n_phi=480)
    for cells, together in (([(50, 100), (54, 102)], True), ([(50, 100), (55, 100)], False)):
        assert (evidence([0.9, 0.8], cells, fine)[1] == np.float32(0.9)) == together


def test_without_a_low_threshold_and_without_points_nothing_changes():
    probability = np.array([0.9, 0.8], np.float32)
    cell = np.array([0, 1], np.int32)
    assert evidence_of_motion(probability, cell, GRID, None) is probability
    empty = evidence_of_motion(probability[:0], cell[:0], GRID, LOW)
    assert empty.shape == (0,) and empty.dtype == np.float32
    np.testing.assert_array_equal(evidence([0.1, 0.2], row_of(2)), np.float32([0.1, 0.2]))


@st.composite
def scenes(draw):
    n = draw(st.integers(1, 60))
    grid = PolarGrid(n_rho=12, n_phi=10)
    cell = draw(st.lists(st.integers(0, grid.n_cells - 1), min_size=n, max_size=n))
    value = st.floats(0, 1, width=32).map(lambda v: round(v, 2))
    probability = draw(st.lists(value, min_size=n, max_size=n))
    return np.array(probability, np.float32), np.array(cell, np.int32), grid


def by_definition(probability, cell, grid, low):
    """The slow way: pairs of points, and a set that grows until nothing is added."""
    n = len(cell)
    rows, columns = np.divmod(cell, grid.n_phi)
    highest = np.array([probability[cell == c].max() for c in cell])
    rings, sectors = round(0.4 / grid.d_rho), round(np.radians(1.5) / grid.d_phi)
    rings, sectors = max(1, rings), max(1, sectors)
    across = np.abs(columns[:, None] - columns)
    near = (np.abs(rows[:, None] - rows) <= rings) & (
        np.minimum(across, grid.n_phi - across) <= sectors
    )
    near &= np.abs(highest[:, None] - highest) <= np.float32(0.12)
    near |= cell[:, None] == cell
    may = probability >= np.float32(low)
    result = probability.copy()
    for i in np.flatnonzero(may):
        group = np.zeros(n, bool)
        group[i] = True
        while True:
            grown = (near[group].any(axis=0) & may) | group
            if (grown == group).all():
                break
            group = grown
        sure = np.sort(probability[group])[::-1]
        result[i] = max(probability[i], sure[int(np.ceil(0.1 * len(sure))) - 1])
    return result


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_as_by_definition_in_any_order(scene):
    probability, cell, grid = scene
    result = evidence_of_motion(probability, cell, grid, LOW)
    np.testing.assert_array_equal(result, by_definition(probability, cell, grid, LOW))
    order = np.random.default_rng(0).permutation(len(cell))
    shuffled = evidence_of_motion(probability[order], cell[order], grid, LOW)
    np.testing.assert_array_equal(shuffled, result[order])
