"""Range images and the angles behind them, against slow definitions."""

import numpy as np
import pytest
from numba import njit

from kdmos_ros.features.range_image import (
    D_AZIMUTH,
    D_ELEVATION,
    ELEVATION_MIN,
    FILL_ROWS,
    N_COLUMNS,
    N_ROWS,
    STEP_M,
    build_range_image,
)
from kdmos_ros.features.visibility import look_up
from kdmos_ros.geometry.angles import coarse_atan2, fine_atan2


def directions(rng, n, rows=(150, 280)):
    """Rows, columns and unit vectors inside of pixels, clear of their edges."""
    row = rng.integers(*rows, n)
    column = rng.choice([0, 1, 2, 40, 41, 450, N_COLUMNS - 2, N_COLUMNS - 1], n)
    elevation = ELEVATION_MIN + (row + rng.uniform(0.2, 0.8, n)) * D_ELEVATION
    azimuth = -np.pi + (column + rng.uniform(0.2, 0.8, n)) * D_AZIMUTH
    flat = np.cos(elevation)
    rays = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], 1)
    return row, column, rays


def image_by_definition(row, column, distance, pool_rows=0):
    near = np.full((N_ROWS, N_COLUMNS), np.inf)
    far = np.full((N_ROWS, N_COLUMNS), -np.inf)
    np.minimum.at(near, (row, column), distance)
    np.maximum.at(far, (row, column), distance)
    filled_near, filled_far = near.copy(), far.copy()
    used = np.unique(column)
    for r, c in ((r, c) for c in used for r in range(N_ROWS) if np.isinf(near[r, c])):
        for step in range(1, FILL_ROWS + 1):
            rows = [k for k in (r - step, r + step) if 0 <= k < N_ROWS]
            if near[rows, c].min() < np.inf:
                filled_near[r, c], filled_far[r, c] = near[rows, c].min(), far[rows, c].max()
                break
    around = (-1, 0, 1)
    near = np.min([np.roll(filled_near, k, 1) for k in around], 0)
    far = np.max([np.roll(filled_far, k, 1) for k in around], 0)
    pooled = np.stack([near, far], -1)
    for r in range(N_ROWS):
        rows, known = slice(max(r - pool_rows, 0), r + pool_rows + 1), near[r] < np.inf
        pooled[r, known, 0] = near[rows].min(0)[known]
        pooled[r, known, 1] = far[rows].max(0)[known]
    return pooled


@pytest.mark.parametrize("pool_rows", [0, 1, 3])
@pytest.mark.parametrize("rows", [(150, 280), (0, 6), (N_ROWS - 3, N_ROWS)])
def test_an_image_is_the_definition_cropped_to_its_returns(rows, pool_rows):
    row, column, rays = directions(np.random.default_rng(1), 700, rows)
    distance = np.linspace(3, 60, len(rays))
    points = (rays * distance[:, None]).astype(np.float32)
    points[::50] = 0
    points[1::50] = np.nan
    points[2::50] = np.inf
    kept = np.arange(len(points)) % 50 > 2
    image = build_range_image(points, pool_rows)
    expected = image_by_definition(row[kept], column[kept], distance[kept], pool_rows)
    whole = np.empty((N_ROWS, N_COLUMNS, 2), np.float32)
    whole[...] = np.inf, -np.inf
    whole[image.first_row : image.first_row + len(image.ranges)] = image.ranges
    np.testing.assert_allclose(whole, expected, rtol=1e-6, atol=STEP_M / 2)
    assert len(image.ranges) <= np.ptp(row) + 1 + 2 * FILL_ROWS


def test_no_returns_give_an_image_where_nothing_is_known():
    image = build_range_image(np.zeros((5, 3), np.float32))
    state, near, far = np.full(2, 9, np.uint8), np.ones(2, np.float32), np.ones(2, np.float32)
    points = np.array([[9, 0, 0], [0, 9, -3]], np.float32)
    look_up(image, np.eye(4, dtype=np.float32), points, 0.2, 0.01, state, near, far)
    assert not state.any() and not near.any() and not far.any()


def test_an_answer_does_not_depend_on_the_points_around_it():
    rng = np.random.default_rng(2)
    image = build_range_image(rng.normal(0, 9, (20000, 3)).astype(np.float32))
    points = rng.normal(0, 9, (1500, 3)).astype(np.float32)

    def answers(part):
        state, near, far = np.empty(len(part), np.uint8), *np.empty((2, len(part)), np.float32)
        look_up(image, np.eye(4, dtype=np.float32), part, 0.2, 0.01, state, near, far)
        return np.stack([state, near, far])

    parts = [answers(p) for p in np.split(points, [1, 5, 300, 1100])]
    np.testing.assert_array_equal(np.concatenate(parts, 1), answers(points))


@njit
def _all(y, x, coarse, fine):
    for i in range(len(x)):
        coarse[i], fine[i] = coarse_atan2(y[i], x[i]), fine_atan2(y[i], x[i])


def test_angles_are_as_exact_as_they_say():
    rng = np.random.default_rng(3)
    y, x = rng.normal(0, 1, (2, 20000)).astype(np.float32)
    y[:4], x[:4] = [0, 0, 1, -1], [1, -1, 0, 0]
    coarse, fine = np.empty((2, len(x)), np.float32)
    _all(y, x, coarse, fine)
    exact = np.arctan2(y.astype(np.float64), x)
    assert np.abs(coarse - exact).max() < 1e-4
    assert np.abs(fine - exact).max() < 5e-7
    y[:2], x[:2] = [0, np.nan], [0, 1]
    _all(y, x, coarse, fine)
    assert coarse[0] == fine[0] == 0 and np.isnan([coarse[1], fine[1]]).all()


@pytest.mark.parametrize("distance", [0.001, 0.7, 100.0, 326.0, 1000.0])
def test_ranges_are_true_to_half_a_step_as_far_as_they_reach(distance):
    near, far = build_range_image(np.array([[distance, 0, 0]], np.float32)).ranges[4, 450]
    assert near == far == pytest.approx(min(distance, 65534 * STEP_M), abs=0.501 * STEP_M)
