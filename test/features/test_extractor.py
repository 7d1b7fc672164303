"""Feature frames: counts, shapes and values by hand, and that the past alone decides."""

import numpy as np
import pytest

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import OUTSIDE, PolarGrid
from kdmos_ros.features.kernels import map_states
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import HIDDEN, MATCHED, SEEN_THROUGH, UNKNOWN, VisibilitySpec
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan

GRID = PolarGrid(n_rho=48, n_phi=36, n_z=24)
SPEC = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)))
MOUNT = make_transform(np.eye(3), [0, 0, 1.5])


def scan(points, stamp_s):
    return Scan(np.asarray(points, np.float32), None, round(stamp_s * 1e9), np.eye(4))


def room(rng, n=4000):
    """Returns of a round wall 20 m away, from the ground to 3 m above it."""
    a = rng.uniform(-np.pi, np.pi, n)
    return np.stack([20 * np.cos(a), 20 * np.sin(a), rng.uniform(-1.5, 1.5, n)], 1)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def extractor(**change):
    return FeatureExtractor(GRID, SPEC, MOUNT, **change)


def test_frame_is_consistent(rng):
    points = room(rng)
    points[::7] = 0
    points[1::7] = np.nan
    points[2::7] *= 10
    frame = extractor().push(scan(points, 0))
    assert frame.n_points == len(points)
    np.testing.assert_array_equal(frame.occupied[frame.slot], frame.cell)
    assert (np.diff(frame.occupied) > 0).all()
    assert OUTSIDE not in frame.cell
    expected = [i for i in range(len(points)) if i % 7 > 2]
    np.testing.assert_array_equal(frame.index, expected)
    assert frame.point.shape == (len(expected), SPEC.n_point)
    assert frame.motion.shape == (GRID.n_cells, SPEC.n_motion)
    assert np.isfinite(frame.point).all()


def test_something_new_in_free_space_is_seen_through_and_the_wall_is_not(rng):
    fx = extractor()
    wall = room(rng, 60000)
    fx.push(scan(wall, 0))
    person = np.array([[10, 0.01 * i, -0.5] for i in range(20)])
    frame = fx.push(scan(np.concatenate([wall, person]), 0.2))
    near = frame.point[:, SPEC.n_point - 4]  # nearest-range difference at the first lag
    assert (near[-20:] == 1).all()
    assert np.abs(near[:-20]).mean() < 0.2
    cell = frame.cell[-1]
    per_slab = frame.motion[cell].reshape(3, 2, 3)
    assert per_slab[1, 0, SEEN_THROUGH - 1] == 1, "second slab, first lag"
    assert not per_slab[1, 1].any(), "no scan is 0.4 s old yet"


def test_the_first_scan_knows_nothing(rng):
    frame = extractor().push(scan(room(rng), 0))
    assert not frame.motion.any()
    assert not frame.point[:, -4:].any()


def test_reset_forgets(rng):
    fx, fresh = extractor(), extractor()
    points = room(rng)
    fx.push(scan(points, 5))
    fx.reset()
    a, b = fx.push(scan(points, 0)), fresh.push(scan(points, 0))
    np.testing.assert_array_equal(a.point, b.point)
    np.testing.assert_array_equal(a.motion, b.motion)


def test_threads_do_not_change_the_result(rng):
    one, three = extractor(num_threads=1), extractor(num_threads=3)
    for i in range(3):
        points = room(rng)
        a, b = one.push(scan(points, 0.2 * i)), three.push(scan(points, 0.2 * i))
        np.testing.assert_array_equal(a.point, b.point)
        np.testing.assert_array_equal(a.motion, b.motion)


def test_empty_scan():
    frame = extractor().push(scan(np.empty((0, 3)), 0))
    assert frame.point.shape == (0, SPEC.n_point) and len(frame.occupied) == 0


def test_same_stamp_is_refused(rng):
    fx = extractor()
    fx.push(scan(room(rng), 1))
    with pytest.raises(ValueError, match="not newer"):
        fx.push(scan(room(rng), 1))


def test_motion_map_is_the_share_of_each_state():
    index = np.array([0, 1, 2, 4, 5])
    cell = np.array([5, 5, 5, 5, 2], np.int32)
    height = np.array([0.5, 0.6, 0.7, np.nan, 9, 1.5], np.float32)
    slabs = np.array([0.1, 1, 2], np.float32)
    states = [SEEN_THROUGH, MATCHED, SEEN_THROUGH, SEEN_THROUGH, HIDDEN, UNKNOWN]
    state = np.array([states], np.uint8).T
    motion = np.zeros((8, 6), np.float32)
    touched = np.zeros(8, bool)
    map_states(index, cell, height, slabs, state, motion, touched)
    assert np.flatnonzero(touched).tolist() == np.flatnonzero(motion.any(axis=1)).tolist()
    motion = motion.reshape(8, 2, 3)
    np.testing.assert_allclose(motion[5, 0], [2 / 3, 1 / 3, 0])
    assert motion.sum() == pytest.approx(1), "a height outside and an unknown state leave no trace"


def test_point_features_by_hand():
    names = ("d_rho", "d_phi", "d_z", "rho", "phi", "z", "x", "y", "height", "intensity")
    grid = PolarGrid(2, 50, n_rho=48, n_phi=36, z_min=-1, z_max=3, n_z=4, z_reference="base")
    fx = FeatureExtractor(grid, FeatureSpec(point=names), MOUNT)
    points = np.array([[0, 9.7, -0.25], [5.1, 0, 9]], np.float32)
    frame = fx.push(Scan(points, np.array([0.25, 1], np.float32), 0, np.eye(4)))
    np.testing.assert_array_equal(frame.cell, [7 * 36 + 27, 3 * 36 + 18])
    np.testing.assert_array_equal(frame.z_bin, [2, 3])
    values = dict(zip(names, frame.point.T, strict=True))
    np.testing.assert_allclose(values["d_rho"], [0.2, -0.4], atol=1e-5)
    np.testing.assert_allclose(values["d_phi"], [-0.5, -0.5], atol=1e-5)
    np.testing.assert_allclose(values["d_z"], [-0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(values["rho"], [9.7, 5.1])
    np.testing.assert_allclose(values["phi"], [np.pi / 2, 0], atol=1e-6)
    np.testing.assert_allclose(values["z"], [1.25, 10.5])
    np.testing.assert_allclose(values["x"], [0, 5.1])
    np.testing.assert_allclose(values["y"], [9.7, 0])
    np.testing.assert_allclose(values["intensity"], [0.25, 1])
    assert values["height"][1] == 3, "clipped to the grid"


@pytest.mark.parametrize(
    "change",
    [
        {"point": ("colour",)},
        {"point": ()},
        {"point": ("rho", "rho")},
        {"slabs_m": (1.0,)},
        {"slabs_m": (1.0, 0.5)},
    ],
)
def test_a_specification_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match="features"):
        FeatureSpec(**change)


def test_feature_counts():
    spec = FeatureSpec(point=("rho", "visibility"), visibility=VisibilitySpec(lags_s=(0.2,)))
    assert (spec.n_point, spec.n_motion) == (3, 9)
    assert FeatureSpec(point=("rho",)).n_point == 1


def test_ego_features_are_the_sensors_speed_towards_and_across():
    fx = FeatureExtractor(GRID, FeatureSpec(point=("ego_radial", "ego_tangential")), MOUNT)
    points = np.array([[10, 0, 0], [0, -10, 0], [-6, 8, 0]], np.float32)
    assert not fx.push(Scan(points, None, 0, np.eye(4))).point.any(), "the first scan knows none"
    pose = make_transform(np.eye(3), [1.0, 0, 0])
    frame = fx.push(Scan(points, None, 200_000_000, pose))
    np.testing.assert_allclose(frame.point, [[5, 0], [0, 5], [-3, 4]], atol=1e-5)
