"""The polar grid: every point in exactly the cell that the definition says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_level, to_polar

GRID = PolarGrid(rho_min=2, rho_max=50, n_rho=48, n_phi=36, z_min=-1, z_max=3, n_z=4)


def cell_of(x, y):
    level = np.array([[x, y, 0]], np.float32)
    return int(GRID.cells(*to_polar(level))[0])


@pytest.mark.parametrize(
    "change",
    [
        {"rho_min": 50.0},
        {"rho_min": -1.0},
        {"z_min": 4.0, "z_max": 4.0},
        {"n_rho": 0},
        {"n_phi": 0},
        {"n_z": 0},
        {"z_reference": "sea"},
    ],
)
def test_a_grid_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match="grid"):
        PolarGrid(**change)


@given(st.floats(0, 70), st.floats(-math.pi, math.pi))
def test_cell_is_ring_and_sector_of_the_point(rho, phi):
    point = np.float32([rho * math.cos(phi), rho * math.sin(phi)])
    # The definition, in float64, from the float32 position that the grid sees.
    x, y = float(point[0]), float(point[1])
    row = (math.hypot(x, y) - 2) / 1.0
    column = (math.atan2(y, x) + math.pi) / (2 * math.pi / 36)
    if min(abs(row - round(row)), abs(column - round(column))) < 1e-4:
        return  # on an edge, rounding decides
    expected = math.floor(row) * 36 + math.floor(column) if 0 <= row < 48 else OUTSIDE
    assert cell_of(x, y) == expected


@pytest.mark.parametrize("x", [0.0, 1.9, 50.1, 1e6, math.nan, math.inf])
def test_outside_is_marked_not_clamped(x):
    assert cell_of(x, 0.0) == OUTSIDE


def test_azimuth_wraps_at_pi():
    # Both sectors that meet at pi are right for a point on their border; no other is.
    for y in (-1e-9, 0.0, 1e-9):
        cell = cell_of(-10, y)
        assert cell // 36 == 8 and cell % 36 in (0, 35)


def test_end_height_bins_are_open():
    heights = np.array([-9, -1, -0.01, 0, 2.99, 3, 99], np.float32)
    np.testing.assert_array_equal(GRID.z_bins(heights), [0, 0, 0, 1, 3, 3, 3])


def test_level_frame_stands_on_the_base_plane():
    # A sensor 1.5 m up, pitched down by 90 degrees: its x axis points at the ground.
    rotation = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    points = np.array([[1.5, 0, 0], [0, 0, 2], [0, 0, 0], [np.nan, 1, 1]], np.float32)
    level = to_level(points, rotation, np.float32(1.5))
    np.testing.assert_allclose(level[:2], [[0, 0, 0], [2, 0, 1.5]], atol=1e-6)
    assert np.isnan(level[2:]).all(), "no return has no place"
