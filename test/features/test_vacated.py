"""Vacated space: what has left is found where it was, what is hidden now is not."""

import dataclasses

import numpy as np

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid, to_polar
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan

GRID = PolarGrid(n_rho=48, n_phi=36, n_z=24)
SPEC = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)), vacated=True)
MOUNT = make_transform(np.eye(3), [0, 0, 1.5])
N_SLABS = len(SPEC.slabs_m) - 1


def ring(radius):
    """Returns of a round wall, from the ground to 3 m above it."""
    a, z = np.meshgrid(np.arange(-np.pi, np.pi, 0.004), np.arange(-1.5, 1.5, 0.05))
    return np.stack([radius * np.cos(a), radius * np.sin(a), z], -1).reshape(-1, 3)


def person(x, y):
    """Somebody before the wall: no ray ends on the ground in front of it."""
    rng = np.random.default_rng(1)
    return rng.uniform([x - 0.2, y - 0.2, -0.5], [x + 0.2, y + 0.2, -0.1], (60, 3))


def push(fx, stamp_s, *parts, x=0.0):
    """A scan of points given in the odometry's frame, from a sensor at (x, 0, 0)."""
    points = (np.concatenate(parts) - [x, 0, 0]).astype(np.float32)
    pose = make_transform(np.eye(3), [x, 0, 0])
    return fx.push(Scan(points, None, round(stamp_s * 1e9), pose))


def vacated(frame):
    """(n_cells, lags, slabs): the last columns of the motion map."""
    return frame.motion[:, -2 * N_SLABS :].reshape(-1, 2, N_SLABS)


def cell_of(x, y):
    return int(GRID.cells(*to_polar(np.array([[x, y, 0]], np.float32)))[0])


def test_the_place_of_one_who_left_is_vacated():
    fx = FeatureExtractor(GRID, SPEC, MOUNT)
    first = push(fx, 0, ring(25), person(10.5, 0.9))
    assert first.motion.shape == (GRID.n_cells, SPEC.n_motion) and not vacated(first).any()
    # The sensor has moved on by a metre meanwhile, and the person has left.
    share = vacated(push(fx, 0.2, ring(25), x=1.0))
    at = cell_of(9.5, 0.9)
    assert share[at, 0].max() == 1
    assert not share[:, 1].any(), "no scan is 0.4 s old yet"
    share[at] = 0
    assert not share.any(), "the wall is still there"


def test_one_who_stays_or_is_hidden_now_has_not_left():
    fx = FeatureExtractor(GRID, SPEC, MOUNT)
    push(fx, 0, ring(25), person(10.5, 0), person(-10.5, 0))
    newcomer = [[-6, 0.02 * i, 0.01 * j - 1.4] for i in range(-60, 60) for j in range(150)]
    share = vacated(push(fx, 0.2, ring(25), person(10.5, 0), np.array(newcomer)))
    assert not share.any()


def test_the_other_features_are_those_without_it():
    plain = FeatureExtractor(GRID, dataclasses.replace(SPEC, vacated=False), MOUNT)
    full = FeatureExtractor(GRID, SPEC, MOUNT)
    for stamp in (0, 0.2, 0.4):
        parts = (ring(25), person(10 + 5 * stamp, 0))
        a, b = push(plain, stamp, *parts), push(full, stamp, *parts)
        np.testing.assert_array_equal(a.point, b.point)
        np.testing.assert_array_equal(a.motion, b.motion[:, : a.motion.shape[1]])
        np.testing.assert_array_equal(a.occupied, b.occupied)
