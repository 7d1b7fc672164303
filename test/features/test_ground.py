"""The ground estimate on surfaces whose height is known."""

import numpy as np
import pytest

from kdmos_ros.features.grid import to_polar
from kdmos_ros.features.ground import height_above_ground


def rings(surface, radii=None):
    """Points of scan rings on a surface z(x, y), level frame."""
    radii = np.geomspace(3, 48, 40) if radii is None else radii
    r, a = np.meshgrid(radii, np.linspace(-np.pi, np.pi, 720, endpoint=False))
    x, y = (r * np.cos(a)).ravel(), (r * np.sin(a)).ravel()
    return np.stack([x, y, surface(x, y)], 1).astype(np.float32)


def heights(points, sensor_z=1.8):
    rho, phi = to_polar(points)
    return height_above_ground(points[:, 2], rho, phi, sensor_z)


@pytest.mark.parametrize("offset", [-0.6, 0.0, 0.6])
def test_flat_ground_is_zero_whatever_the_base_height(offset):
    assert np.abs(heights(rings(lambda x, y: 0 * x + offset))).max() < 0.02


def test_a_slope_is_followed():
    points = rings(lambda x, y: 0.08 * x)
    assert np.abs(heights(points)).mean() < 0.08
    assert abs(points[:, 2]).max() > 3


def test_height_over_a_slope_is_over_the_local_ground():
    ground = rings(lambda x, y: 0.05 * x)
    person = np.array([[30, 0, 0.05 * 30 + h] for h in (0.5, 1.0, 1.5)], np.float32)
    above = heights(np.concatenate([ground, person]))[-3:]
    np.testing.assert_allclose(above, [0.5, 1.0, 1.5], atol=0.15)


def test_points_below_the_road_and_a_van_do_not_pull_it():
    ground = rings(lambda x, y: 0 * x)
    reflections = np.array([[10, 0.3 * i, -3] for i in range(3)], np.float32)
    rho = np.hypot(ground[:, 0], ground[:, 1])
    # A van 2 m high hides the road from 10 to 25 m in 30 degrees; its side is seen instead.
    hidden = (np.abs(np.arctan2(ground[:, 1], ground[:, 0])) < 0.26) & (rho > 10) & (rho < 25)
    van = np.array([[10, y, z] for y in np.linspace(-2.4, 2.4, 40) for z in (0.3, 1, 2)])
    above = heights(np.concatenate([ground[~hidden], reflections, van.astype(np.float32)]))
    assert np.abs(above[: (~hidden).sum()]).max() < 0.1
    assert above[-1] == pytest.approx(2, abs=0.15)


def test_sparse_rings_carry_the_ground_on():
    points = rings(lambda x, y: 0.03 * x, radii=[7, 13, 30])
    assert np.abs(heights(points)).max() < 0.35


@pytest.mark.parametrize("tall", [1.0, 1.3, 1.6])
def test_what_the_lowest_beams_end_on_is_no_ground(tall):
    # A LiDAR that looks down by 7 degrees only sees the floor beyond 8 times its height.
    slope, azimuth = np.tan(np.radians(-7.0)), np.linspace(-np.pi, np.pi, 720, endpoint=False)
    walls = rings(lambda x, y: tall + np.hypot(x, y) * slope, radii=[5.0])
    hall = [walls + np.float32([0, 0, up]) for up in (0.0, 0.4, 0.8)]
    # Behind a few doors the floor is seen.
    floor = rings(lambda x, y: 0 * x, radii=np.arange(13, 24, 0.7))
    floor = floor[np.arctan2(floor[:, 1], floor[:, 0]) % 1.0 < 0.15]
    above = heights(np.concatenate([*hall, floor]).astype(np.float32), tall)
    np.testing.assert_allclose(above[: len(azimuth)], walls[:, 2], atol=0.05)


def test_nothing_returned_gives_nothing():
    assert np.isnan(heights(np.full((3, 3), np.nan, np.float32))).all()
    assert len(heights(np.empty((0, 3), np.float32))) == 0
