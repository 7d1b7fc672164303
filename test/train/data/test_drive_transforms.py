"""Drives on disk and their augmentation: labels stay with their points, the world stays true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, invert, transform
from kdmos_ros.io.drive_file import LabelledDrive, load_drive, save_drive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.scan import Scan
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.data.augment import augment, draw
from kdmos_ros.train.data.drive_transforms import (
    N_ELEVATIONS,
    crop_range,
    disturb_poses,
    drop_beams,
    mirror,
    move_sensor,
    raise_mount,
    remove_intensity,
    remove_returns,
    scale,
    tilt_mount,
    turn_sensor,
)
from kdmos_ros.train.data.simulated_drives import simulate_drive


@pytest.fixture
def drive():
    rng = np.random.default_rng(2)
    scans = []
    for i in range(3):
        n = 100 + i
        points = rng.uniform(-60, 60, (n, 3)).astype(np.float32)
        intensity = rng.uniform(0, 1, n).astype(np.float32) if i else None
        pose = from_pose([i, 0.5 * i, 0.1], [0, 0.02, 0.1 * i, 1])
        scan = Scan(points, intensity, 200_000_000 * i, pose)
        labels = rng.integers(0, 4, n).astype(np.uint8)
        scans.append(LabelledScan(scan, labels, rng.integers(0, 9, n).astype(np.uint8)))
    return LabelledDrive(scans, from_pose([1, 0, 1.7], [0, 0.05, 0, 1]), "hdl64e")


def test_a_drive_survives_the_disk(drive, tmp_path):
    save_drive(drive, tmp_path / "d.npz")
    again = load_drive(tmp_path / "d.npz")
    assert again.sensor == drive.sensor and len(again.scans) == 3
    np.testing.assert_array_equal(again.base_T_sensor, drive.base_T_sensor)
    for a, b in zip(drive.scans, again.scans, strict=True):
        np.testing.assert_allclose(b.scan.points, a.scan.points, atol=0.00201)
        np.testing.assert_array_equal(b.scan.pose, a.scan.pose)
        np.testing.assert_array_equal(b.labels, a.labels)
        np.testing.assert_array_equal(b.kind, a.kind)
        assert b.scan.stamp_ns == a.scan.stamp_ns
    np.testing.assert_allclose(
        again.scans[1].scan.intensity, drive.scans[1].scan.intensity, atol=0.002
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "d.npz"], "no half-written file is left"


def test_a_drive_that_is_being_written_is_not_taken_for_one(drive, tmp_path, monkeypatch):
    """A process that is killed leaves it behind, in the folder that is read again later."""
    found = []

    def fills_the_disk(path, **content):
        Path(path).write_bytes(b"half")
        found.extend(tmp_path.glob("drive_*.npz"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fills_the_disk)
    with pytest.raises(KdmosError, match=r"drive_0000001\.npz: No space left on device"):
        save_drive(drive, tmp_path / "drive_0000001.npz")
    assert not found and not list(tmp_path.iterdir())


def test_objects_stay_apart_on_disk(drive, tmp_path):
    """Ids of recorded labels need 32 bits; in a file, what they tell apart is what counts."""
    ids = np.random.default_rng(3).choice([0, -5, 252 | 7 << 16, 252 | 40_000 << 16], 102)
    scans = [replace(s, instance=ids[: len(s.labels)].astype(np.int64)) for s in drive.scans]
    save_drive(replace(drive, scans=scans), tmp_path / "d.npz")
    for a, b in zip(scans, load_drive(tmp_path / "d.npz").scans, strict=True):
        np.testing.assert_array_equal(b.instance == 0, a.instance == 0)
        pairs = set(zip(a.instance.tolist(), b.instance.tolist(), strict=True))
        assert len(pairs) == len(set(b.instance)) == 4
    save_drive(replace(drive, scans=[scans[0], *drive.scans[1:]]), tmp_path / "d.npz")
    assert load_drive(tmp_path / "d.npz").scans[0].instance is None


def test_too_far_becomes_no_return(drive, tmp_path):
    drive.scans[0].scan.points[:2] = [[150, 0, 0], [np.nan, 1, 1]]
    save_drive(drive, tmp_path / "d.npz")
    assert not load_drive(tmp_path / "d.npz").scans[0].scan.points[:2].any()


def test_a_damaged_file_names_itself(drive, tmp_path):
    path = tmp_path / "d.npz"
    with pytest.raises(KdmosError, match=r"d\.npz"):
        load_drive(path)
    save_drive(drive, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(KdmosError, match=r"d\.npz: not a readable drive"):
        load_drive(path)
    np.savez(path, points=np.zeros(3))
    with pytest.raises(KdmosError, match=r"d\.npz: not a readable drive"):
        load_drive(path)


def world(drive):
    return [transform(s.scan.pose, s.scan.points.astype(np.float64)) for s in drive.scans]


def level(drive):
    rotation = drive.base_T_sensor[:3, :3]
    return [s.scan.points @ rotation.T + [0, 0, drive.base_T_sensor[2, 3]] for s in drive.scans]


def test_turning_the_sensor_leaves_the_world_and_turns_the_grid(drive):
    turned = turn_sensor(drive, 0.7)
    for a, b in zip(world(drive), world(turned), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for a, b in zip(level(drive), level(turned), strict=True):
        np.testing.assert_allclose(a[:, 2], b[:, 2], atol=1e-4)
        angle = np.arctan2(b[:, 1], b[:, 0]) - np.arctan2(a[:, 1], a[:, 0])
        np.testing.assert_allclose(np.angle(np.exp(1j * angle)), 0.7, atol=1e-4)


def test_mirroring_mirrors_the_world(drive):
    mirrored = mirror(drive)
    for a, b in zip(world(drive), world(mirrored), strict=True):
        np.testing.assert_allclose(a * [1, -1, 1], b, atol=1e-4)
    assert np.linalg.det(mirrored.base_T_sensor[:3, :3]) == pytest.approx(1)
    for a, b in zip(level(drive), level(mirrored), strict=True):
        np.testing.assert_allclose(a * [1, -1, 1], b, atol=1e-4)


def test_dropped_points_keep_their_rows(drive):
    rng = np.random.default_rng(0)
    thin = remove_returns(drive, [rng.random(len(s.labels)) < 0.5 for s in drive.scans])
    for a, b in zip(drive.scans, thin.scans, strict=True):
        gone = ~b.scan.points.any(axis=1)
        assert 0.3 < gone.mean() < 0.7
        np.testing.assert_array_equal(a.scan.points[~gone], b.scan.points[~gone])
        np.testing.assert_array_equal(a.labels, b.labels)


def test_augmentation_follows_its_seed(drive):
    a, b, c = (augment(drive, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.scans[2].scan.points, b.scans[2].scan.points)
    assert np.abs(a.scans[2].scan.points - c.scans[2].scan.points).max() > 0.1


def test_scaling_scales_the_world_and_the_height_of_the_sensor(drive):
    large = scale(drive, 1.1)
    for a, b in zip(world(drive), world(large), strict=True):
        np.testing.assert_allclose(a * 1.1, b, atol=1e-4)
    for a, b in zip(level(drive), level(large), strict=True):
        np.testing.assert_allclose(a * 1.1, b, atol=1e-4)


def test_cropping_loses_what_is_far_and_nothing_else(drive):
    drive.scans[0].scan.points[0] = np.nan
    near = crop_range(drive, 40.0)
    for a, b in zip(drive.scans, near.scans, strict=True):
        far = ~(np.linalg.norm(a.scan.points, axis=1) <= 40.0)
        assert far.any() and not far.all()
        assert not b.scan.points[far].any()
        np.testing.assert_array_equal(a.scan.points[~far], b.scan.points[~far])


def test_dropped_beams_are_the_same_in_every_scan(drive):
    lost = np.zeros(N_ELEVATIONS, bool)
    lost[N_ELEVATIONS // 2 :] = True  # everything above the horizon
    drive.scans[0].scan.points[0] = np.nan
    half = drop_beams(drive, lost)
    for a, b in zip(drive.scans, half.scans, strict=True):
        kept = b.scan.points.any(axis=1)
        np.testing.assert_array_equal(kept[1:], a.scan.points[1:, 2] < 0)
        np.testing.assert_array_equal(a.scan.points[kept][1:], b.scan.points[kept][1:])


def test_points_of_one_beam_share_their_fate(drive):
    angles = np.linspace(-3, 3, len(drive.scans[0].scan.points))
    ring = np.stack([20 * np.cos(angles), 20 * np.sin(angles), np.full(len(angles), 3.1)], axis=1)
    drive.scans[0].scan.points[:] = ring
    for seed in range(6):
        recipe = AugmentRecipe(0, False, 0, mount_error_m=0, beam_drop=1)
        kept = augment(drive, np.random.default_rng(seed), recipe).scans[0].scan.points.any(axis=1)
        assert kept.all() or not kept.any()


def test_moving_the_sensor_leaves_the_world(drive):
    drive.scans[1].scan.points[4] = 0
    moved = move_sensor(drive, from_pose([0.1, -0.2, 0.4], [0.02, 0.01, 0, 1]))
    for a, b in zip(world(drive), world(moved), strict=True):
        keep = np.arange(len(a)) != 4
        np.testing.assert_allclose(a[keep], b[keep], atol=1e-3)
    assert not moved.scans[1].scan.points[4].any(), "no return became a point"
    # The mount moves along, so that the base stays where it was.
    for a, b in zip(drive.scans, moved.scans, strict=True):
        np.testing.assert_allclose(
            a.scan.pose @ invert(drive.base_T_sensor),
            b.scan.pose @ invert(moved.base_T_sensor),
            atol=1e-9,
        )


def test_errors_of_the_mount_leave_the_scans(drive):
    wrong = tilt_mount(raise_mount(drive, 0.1), 0.02, -0.03)
    assert wrong.base_T_sensor[2, 3] == pytest.approx(drive.base_T_sensor[2, 3] + 0.1)
    turn = drive.base_T_sensor[:3, :3].T @ wrong.base_T_sensor[:3, :3]
    assert np.arccos((np.trace(turn) - 1) / 2) == pytest.approx(np.hypot(0.02, 0.03), rel=1e-6)
    for a, b in zip(drive.scans, wrong.scans, strict=True):
        assert a is b


def test_disturbed_poses_are_off_by_the_errors_and_stay_poses(drive):
    errors = np.array([[0.1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.2], [0, 0, 0.3, 0.1, 0, 0]])
    wrong = disturb_poses(drive, errors)
    for a, b, error in zip(drive.scans, wrong.scans, errors, strict=True):
        off = invert(a.scan.pose) @ b.scan.pose
        np.testing.assert_allclose(off[:3, 3], error[:3], atol=1e-9)
        angle = np.arccos(np.clip((np.trace(off[:3, :3]) - 1) / 2, -1, 1))
        assert angle == pytest.approx(np.abs(error[3:]).sum(), abs=1e-6)
        np.testing.assert_allclose(off[:3, :3] @ off[:3, :3].T, np.eye(3), atol=1e-9)
        np.testing.assert_array_equal(a.scan.points, b.scan.points)


def test_intensity_can_be_missing(drive):
    assert all(s.scan.intensity is None for s in remove_intensity(drive).scans)


def test_nothing_is_changed_when_everything_is_off(drive):
    same = augment(drive, np.random.default_rng(0), AugmentRecipe(0, False, 0, mount_error_m=0.0))
    np.testing.assert_array_equal(same.base_T_sensor, drive.base_T_sensor)
    for a, b in zip(drive.scans, same.scans, strict=True):
        assert a is b


def test_options_that_are_off_draw_nothing(drive):
    """So that recipes from before an option exist keep their data to the bit."""
    counts = [len(s.labels) for s in drive.scans]
    before, after = np.random.default_rng(3), np.random.default_rng(3)
    draw(counts, before)
    after.random()
    after.uniform(-np.pi, np.pi)
    if after.random() < 0.2:
        after.uniform(0.02, 0.3)
        for n in counts:
            after.random(n)
    after.normal(0, 0.05)
    assert before.random() == after.random()


def test_a_dense_start_has_its_first_scans_at_half_the_spacing():
    data = DataRecipe(scans=5, spacing_s=0.2, dense_start=2, sensors={"vlp16": 1.0})
    stamps = [s.scan.stamp_ns for s in simulate_drive(data, 3).scans]
    np.testing.assert_allclose(np.diff(stamps) * 1e-9, [0.1, 0.1, 0.2, 0.2], atol=1e-8)
