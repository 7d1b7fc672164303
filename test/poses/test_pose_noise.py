import numpy as np
import pytest

from kdmos_ros.geometry.transforms import from_pose, invert, make_transform
from kdmos_ros.poses.pose_noise import PoseNoise

SECOND = 1_000_000_000
MOUNT = make_transform(np.eye(3), [0.5, 0, 1.7])
STEPS = 4000
ODOMETRY = [(i * SECOND // 10, make_transform(np.eye(3), [0.7 * i, 0, 0])) for i in range(STEPS)]


def sensor_errors(error):
    """T (N, 4, 4) from the right pose of the LiDAR to the spoilt one, in its frame."""
    spoilt = error.apply(ODOMETRY, MOUNT)
    return np.stack(
        [
            invert(right @ MOUNT) @ wrong @ MOUNT
            for (_, right), (_, wrong) in zip(ODOMETRY, spoilt, strict=True)
        ]
    )


def angles(errors):
    cosine = (np.trace(errors[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("name", ["noise_m", "noise_deg", "drift_m", "drift_deg", "seed"])
def test_negative_sizes_are_refused(name):
    with pytest.raises(ValueError, match="negative"):
        PoseNoise(**{name: -1})


def test_no_error_changes_nothing():
    for (stamp, right), (spoilt_stamp, spoilt) in zip(
        ODOMETRY, PoseNoise(seed=3).apply(ODOMETRY, MOUNT), strict=True
    ):
        assert stamp == spoilt_stamp
        np.testing.assert_allclose(spoilt, right, atol=1e-9)


def test_noise_has_the_size_asked_for_and_is_independent():
    errors = sensor_errors(PoseNoise(noise_m=0.1))
    lengths = np.linalg.norm(errors[:, :3, 3], axis=1)
    assert rms(lengths) == pytest.approx(0.1, rel=0.05)
    steps = np.linalg.norm(np.diff(errors[:, :3, 3], axis=0), axis=1)
    assert rms(steps) == pytest.approx(0.1 * np.sqrt(2), rel=0.05)
    np.testing.assert_allclose(angles(errors), 0, atol=1e-4)


def test_turning_noise_turns_about_the_lidar():
    errors = sensor_errors(PoseNoise(noise_deg=1.0))
    assert rms(angles(errors)) == pytest.approx(1.0, rel=0.05)
    np.testing.assert_allclose(errors[:, :3, 3], 0, atol=1e-9)


def test_drift_grows_with_the_root_of_time():
    errors = sensor_errors(PoseNoise(drift_m=0.1))[:, :3, 3]
    for steps, expected in ((10, 0.1), (40, 0.2)):
        moved = np.linalg.norm(errors[steps:] - errors[:-steps], axis=1)
        assert rms(moved) == pytest.approx(expected, rel=0.15)


def test_stamps_are_late():
    spoilt = PoseNoise(offset_ms=12.5).apply(ODOMETRY, MOUNT)
    assert [stamp - 12_500_000 for stamp, _ in spoilt] == [stamp for stamp, _ in ODOMETRY]


def test_the_seed_decides():
    one, same, other = (PoseNoise(noise_m=0.1, seed=s).apply(ODOMETRY, MOUNT) for s in (1, 1, 2))
    np.testing.assert_array_equal(one[5][1], same[5][1])
    assert not np.array_equal(one[5][1], other[5][1])


def test_sizes_scale_the_same_errors():
    small, large = (sensor_errors(PoseNoise(noise_m=m))[:50, :3, 3] for m in (0.1, 0.2))
    np.testing.assert_allclose(2 * small, large, atol=1e-9)


def test_planar_odometry_keeps_x_y_and_yaw_in_the_plane_of_the_first_pose():
    tilt = from_pose([3, 4, 5], [0.05, -0.03, 0.2, 1])
    up_and_round = from_pose([2.0, 1.0, 0.4], [0.02, 0.04, 0.1, 1])
    (_, first), (_, planar) = PoseNoise(planar=True).apply(
        [(0, tilt), (1, tilt @ up_and_round)], MOUNT
    )
    np.testing.assert_allclose(first, tilt, atol=1e-12)
    motion = invert(tilt) @ planar
    np.testing.assert_allclose(motion[:3, 3], [2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(motion[2, :3], [0, 0, 1], atol=1e-12)
    assert np.arctan2(motion[1, 0], motion[0, 0]) == pytest.approx(
        np.arctan2(up_and_round[1, 0], up_and_round[0, 0])
    )
