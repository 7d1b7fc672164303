"""The odometry's errors are those of scan matching."""

from itertools import pairwise

import numpy as np

from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.sim.odometry_noise import noisy_odometry, rotation

TIMES = np.arange(300) / 10.0
TRUTH = np.array([make_transform(rotation([0, 0, 0.02 * t]), [8.0 * t, 3.0, 0.1]) for t in TIMES])


def step_errors(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moves = [invert(a) @ b for a, b in pairwise(poses)]
    true = [invert(a) @ b for a, b in pairwise(TRUTH)]
    off = np.array([invert(t) @ m for t, m in zip(true, moves, strict=True)])
    angle = np.arccos(np.clip((np.trace(off[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1))
    return np.linalg.norm(off[:, :3, 3], axis=1), np.rad2deg(angle)


def test_steps_are_off_by_a_few_centimetres():
    shifts, turns = [], []
    for seed in range(12):
        shift, turn = step_errors(noisy_odometry(np.random.default_rng(seed), TRUTH, TIMES))
        shifts.append(shift.mean())
        turns.append(turn.mean())
    assert 0.008 < np.mean(shifts) < 0.04
    assert 0.02 < np.mean(turns) < 0.12


def test_it_drifts_but_stays_close():
    local = invert(TRUTH[0]) @ TRUTH
    ends = []
    for seed in range(12):
        poses = noisy_odometry(np.random.default_rng(seed), TRUTH, TIMES)
        ends.append(np.linalg.norm(poses[-1][:3, 3] - local[-1][:3, 3]))
        np.testing.assert_allclose(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2),
                                   np.tile(np.eye(3), (len(TIMES), 1, 1)), atol=1e-9)  # fmt: skip
    assert 0.1 < np.mean(ends) < 0.02 * 240


def pitch_errors(lag: int) -> list[float]:
    """Degrees by which the pitch between scans `lag` apart is off, one figure for each seed."""
    local = invert(TRUTH[0]) @ TRUTH
    out = []
    for seed in range(40):
        poses = noisy_odometry(np.random.default_rng(seed), TRUTH, TIMES)
        error = np.array([invert(t) @ p for t, p in zip(local, poses, strict=True)])
        pitch = np.arcsin(error[:, 0, 2])
        out.append(float(np.rad2deg(np.std(pitch[lag:] - pitch[:-lag]))))
    return out


def test_errors_add_up_over_a_second_or_two_and_differ_between_drives():
    soon, late = pitch_errors(2), pitch_errors(16)
    assert 0.008 < np.median(soon) < 0.035
    assert 0.05 < np.median(late) < 0.2
    assert max(late) > 5 * min(late)


def test_rotation_is_yaw_after_pitch_after_roll():
    np.testing.assert_allclose(rotation([0, 0, np.pi / 2]) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation([0, np.pi / 2, 0]) @ [1, 0, 0], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(rotation([np.pi / 2, 0, 0]) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    both = rotation([0.1, 0.2, 0.3])
    one_by_one = rotation([0, 0, 0.3]) @ rotation([0, 0.2, 0]) @ rotation([0.1, 0, 0])
    np.testing.assert_allclose(both, one_by_one, atol=1e-12)
