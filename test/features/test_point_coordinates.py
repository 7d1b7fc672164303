import dataclasses

import numpy as np
import pytest

from kdmos_ros.features.grid import OUTSIDE, PolarGrid
from kdmos_ros.features.point_coordinates import place
from kdmos_ros.geometry.transforms import quaternion_to_matrix

GRID = PolarGrid(n_rho=48, n_phi=40, n_z=12)


def test_a_tilted_sensor_sees_the_same_places():
    """Flat ground at the base's z = 0, and a post; a point without a return is nowhere."""
    x, y = np.meshgrid(np.linspace(3, 30, 60), np.linspace(-12, 12, 60))
    base = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    base = np.concatenate([base, [[10.0, 1.0, 2.0], [90.0, 0.0, 0.0], [np.nan] * 3]])
    rotation, height = quaternion_to_matrix([0.01, -0.03, 0.15, 0.99]), 1.7
    points = ((base - [0, 0, height]) @ rotation).astype(np.float32)
    at = place(points, (rotation.astype(np.float32), np.float32(height)), GRID)
    np.testing.assert_allclose(at.level, base, atol=1e-4)
    np.testing.assert_allclose(at.rho[:-1], np.hypot(*base[:-1, :2].T), rtol=1e-5)
    assert at.height[-3] == pytest.approx(2.0, abs=0.05) and at.z is at.height
    assert (at.cell[-2:] == OUTSIDE).all() and (at.cell[:-2] != OUTSIDE).all()
    by_base = dataclasses.replace(GRID, z_reference="base")
    at = place(points, (rotation.astype(np.float32), np.float32(height)), by_base)
    np.testing.assert_array_equal(at.z, at.level[:, 2])
