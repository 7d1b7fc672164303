"""The teacher's windows: which scans, in which frame, on which ground, compared with which."""

from dataclasses import replace

import numpy as np
import pytest
from training_harness import make_drive

pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.features.range_image import build_range_image
from kdmos_ros.features.upright import Upright
from kdmos_ros.features.visibility import look_up
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.config.teacher_config import WindowSpec
from kdmos_ros.train.data.simulated_drives import simulate_drive
from kdmos_ros.train.data.window_samples import WindowBatch, window_samples


def test_a_window_holds_the_scans_around_in_the_frame_of_the_newest():
    drive = make_drive(0, scans=6)
    spec = WindowSpec(lags_s=(0.2, 0.4, -0.2), range_m=100.0)
    samples = list(window_samples(drive, spec))
    assert [sorted({round(float(t), 3) for t in s.time}) for s in samples] == [
        [-0.2, 0.0],
        [-0.2, 0.0, 0.2],
        *[[-0.2, 0.0, 0.2, 0.4]] * 3,
        [0.0, 0.2, 0.4],
    ]
    sample, scans = samples[3], drive.scans
    n = len(sample.index)
    assert (sample.time[:n] == 0).all() and (sample.time[n:] != 0).all()
    np.testing.assert_array_equal(sample.labels, scans[3].labels[sample.index])
    level = sample.points.astype(np.float64)
    mount = drive.base_T_sensor.copy()
    mount[:2, 3] = 0
    to_odom = scans[3].scan.pose @ np.linalg.inv(mount)
    world = level @ to_odom[:3, :3].T + to_odom[:3, 3]
    past = world[np.isclose(sample.time, 0.4)]
    pose = scans[1].scan.pose
    expected = scans[1].scan.points @ pose[:3, :3].T + pose[:3, 3]
    np.testing.assert_allclose(past, expected, atol=1e-4)


def test_a_causal_window_does_not_see_the_future():
    drive = make_drive(0, scans=5)
    spec = WindowSpec(lags_s=(0.2, 0.4))
    whole = list(window_samples(drive, spec))[2]
    cut = list(window_samples(replace(drive, scans=drive.scans[:3]), spec))[2]
    for name in ("points", "time", "features", "labels"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_scans_can_be_asked_without_their_points():
    drive = make_drive(0, scans=5)
    both = list(window_samples(drive, WindowSpec(lags_s=(0.2, -0.2))))[2]
    asked = list(window_samples(drive, WindowSpec(lags_s=(0.2,), look_lags_s=(-0.2,))))[2]
    n = len(asked.time)
    assert n < len(both.time) and set(np.sign(asked.time)) == {0, 1}
    for name in ("points", "time", "features"):
        np.testing.assert_array_equal(getattr(asked, name), getattr(both, name)[:n])


def test_a_window_is_put_onto_one_ground():
    """Poses that climb: the scans of a window come to lie on the newest one's ground."""
    true = simulate_drive(DataRecipe(scans=4, dense_start=0, sensors={"hdl64e": 1.0}), 3)
    climbing = []
    for i, labelled in enumerate(true.scans):
        pose = labelled.scan.pose.copy()
        pose[2, 3] += 0.1 * i
        climbing.append(replace(labelled, scan=replace(labelled.scan, pose=pose)))
    drive = replace(true, scans=tuple(climbing))
    heights = {}
    for aligned in (False, True):
        spec = WindowSpec(lags_s=(0.2, -0.2), ground_aligned=aligned)
        sample = list(window_samples(drive, spec))[2]
        road = np.abs(sample.features[:, 1]) < 0.1
        heights[aligned] = [
            np.median(sample.points[road & (np.sign(sample.time) == sign), 2])
            for sign in (-1, 0, 1)
        ]
    later, now, past = heights[False]
    assert later - now > 0.06 and now - past > 0.06
    assert np.ptp(heights[True]) < 0.03


def test_rows_are_pooled_as_in_the_students_features():
    drive = make_drive(0, scans=3)
    own, pooled = (
        list(window_samples(drive, WindowSpec(lags_s=(0.2,), pool_rows=n)))[1] for n in (0, 4)
    )
    np.testing.assert_array_equal(own.points, pooled.points)
    upright = Upright(drive.base_T_sensor)
    past, now = (upright.turn(drive.scans[k].scan) for k in (0, 1))
    image = build_range_image(past.points, 4)
    move = np.linalg.inv(past.pose) @ now.pose
    points = np.ascontiguousarray(now.points[pooled.index], np.float32)
    state, near, far = (np.empty(len(points), kind) for kind in (np.uint8, *[np.float32] * 2))
    look_up(image, move.astype(np.float32), points, 0.25, 0.012, state, near, far)
    n = len(pooled.index)
    np.testing.assert_allclose(pooled.features[:n, 4], near, atol=1e-5)
    np.testing.assert_allclose(pooled.features[:n, 5], far, atol=1e-5)
    assert (pooled.features[:n, 4:] != own.features[:n, 4:]).any()


def test_a_batch_keeps_labels_and_rows_together():
    samples = list(window_samples(make_drive(0), WindowSpec()))[:2]
    batch = WindowBatch.of(samples)
    n = int((batch.time == 0).sum())
    assert len(batch.labels) == n == sum(len(s.labels) for s in samples)
    assert (batch.sample[batch.time == 0].diff() >= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lags_s": ()},
        {"lags_s": (0.0,)},
        {"range_m": 0},
        {"look_lags_s": (0.2,)},
        {"pool_rows": 9},
    ],
)
def test_windows_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WindowSpec(**wrong)
