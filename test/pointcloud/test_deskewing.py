"""Deskewing: by hand, and that it makes a static world stand still."""

import numpy as np
import pytest

from kdmos_ros.features.range_image import build_range_image
from kdmos_ros.features.visibility import SEEN_THROUGH, look_up
from kdmos_ros.geometry.transforms import invert, make_transform, transform
from kdmos_ros.object_kinds import Kind
from kdmos_ros.pointcloud.deskewing import KNOT_S, deskew, knot_times, sensor_motion
from kdmos_ros.sim import SweepTiming, make_drive
from kdmos_ros.sim.odometry_noise import rotation


def pose_at(t):
    """A sensor that drives at 15 m/s, turns at 1 rad/s and pitches: T_odom_sensor."""
    return make_transform(rotation(np.array([0.1, 0.2 * t, 1.0 * t])), [15 * t, 3 * t * t, 1.7])


def motion(knots):
    return sensor_motion([pose_at(t) for t in knots], pose_at(0.0))


@pytest.mark.parametrize("span", [(0.0, 0.1), (-0.1, 0.0), (-0.04, 0.06), (-0.3, -0.1)])
def test_a_world_point_stands_still(span):
    rng = np.random.default_rng(1)
    world = rng.uniform(-30, 30, (500, 3))
    seconds = rng.uniform(*span, 500).astype(np.float32)
    seconds[:2] = span
    seen = np.stack(
        [transform(invert(pose_at(t)), p[None])[0] for p, t in zip(world, seconds, strict=True)]
    )
    knots = knot_times(*span)
    moved = deskew(seen.astype(np.float32), seconds, knots, motion(knots))
    truth = transform(invert(pose_at(0.0)), world)
    assert np.abs(moved - truth).max() < 0.003
    assert np.abs(seen - truth).max() > 1, "there was something to correct"


def test_rows_without_a_return_stay_as_they_are():
    points = np.array([[0, 0, 0], [np.nan, 1, 2], [np.inf, 0, 0], [5, 0, 0]], np.float32)
    knots = knot_times(0, 0.1)
    moved = deskew(points, np.float32([0.05, np.nan, 0.05, 0.1]), knots, motion(knots))
    np.testing.assert_array_equal(moved[:3], points[:3])
    assert np.abs(moved[3] - points[3]).max() > 1


def test_times_beyond_the_knots_are_not_extrapolated():
    points = np.full((4, 3), 5, np.float32)
    knots = knot_times(0, 0.1)
    moved = deskew(points, np.float32([-0.001, 0.101, np.nan, 0.1]), knots, motion(knots))
    np.testing.assert_array_equal(np.isnan(moved).any(1), [True, True, True, False])


def test_a_standing_sensor_changes_nothing():
    points = np.random.default_rng(0).uniform(-50, 50, (100, 3)).astype(np.float32)
    knots = knot_times(0, 0.1)
    still = sensor_motion([pose_at(0.3)] * len(knots), pose_at(0.3))
    moved = deskew(points, np.linspace(0, 0.1, 100, dtype=np.float32), knots, still)
    np.testing.assert_allclose(moved, points, atol=1e-5)


def test_knots_are_dense_and_cover_the_sweep():
    for first, last in [(0.0, 0.1), (-0.1, -0.03), (0.0, 0.001), (0.02, 0.02)]:
        knots = knot_times(first, last)
        assert len(knots) >= 2
        assert (knots[0], knots[-1]) == (first, last)
        assert np.diff(knots).max() <= KNOT_S + 1e-12


def test_shapes_must_fit():
    points, knots = np.ones((5, 3), np.float32), knot_times(0, 0.1)
    with pytest.raises(ValueError, match="5 points"):
        deskew(points, np.zeros(4, np.float32), knots, motion(knots))
    with pytest.raises(ValueError, match="motion"):
        deskew(points, np.zeros(5, np.float32), knots, motion(knots)[1:])


@pytest.mark.parametrize(("seed", "ego", "start_s"), [(15, "turning", 4.2), (2, "driving", 5.0)])
@pytest.mark.parametrize("stamp_fraction", [0.0, 0.5, 1.0])
def test_a_distorted_sweep_of_a_static_world_fits_an_undistorted_one(
    seed, ego, start_s, stamp_fraction
):
    """Both are of the same instant: deskewed points lie on the surfaces of the sharp sweep."""
    options = {
        "sensor": "os1_128", "ego": ego, "movers": False, "odometry_noise": False,
        "duration_s": 1.0, "rate_hz": 2.0, "start_s": start_s,
    }  # fmt: skip
    skewed = make_drive(seed, sweep=SweepTiming(True, stamp_fraction), **options)
    sharp = make_drive(seed, **options)[1].scan.points
    frame, time = skewed[1], skewed.times[1]
    # Foliage returns at random depths, in any two sweeps.
    hard = frame.kind != Kind.VEGETATION
    points, seconds = frame.scan.points[hard], frame.seconds[hard]
    knots = knot_times(float(seconds.min()), float(seconds.max()))
    poses = [skewed.world.ego_pose(time + t) @ skewed.base_T_sensor for t in knots]
    at_stamp = skewed.world.ego_pose(time) @ skewed.base_T_sensor
    moved = deskew(points, seconds, knots, sensor_motion(poses, at_stamp))
    before, after = share_off(sharp, points), share_off(sharp, moved)
    assert after < 0.03
    assert after < 0.5 * before


def share_off(reference, points):
    """Share of the points that are not on a surface of the reference cloud."""
    n = len(points)
    state, near, far = np.zeros(n, np.uint8), np.zeros(n, np.float32), np.zeros(n, np.float32)
    still = np.eye(4, dtype=np.float32)
    look_up(build_range_image(reference), still, points, 0.25, 0.012, state, near, far)
    return float(np.mean(state[np.linalg.norm(points, axis=1) < 40] == SEEN_THROUGH))
