"""Simulated drives to learn from: stored or made anew, those of later rounds, and held-out ones."""

import numpy as np
import pytest

from kdmos_ros.train.config.data_recipe import VALIDATION_SEED, DataRecipe, SourceRecipe
from kdmos_ros.train.data.training_drives import recorded_drives

pytestmark = pytest.mark.slow


def test_a_drive_made_anew_is_the_stored_one(tmp_path):
    from kdmos_ros.train.data.simulated_drives import SimulatedDrive, simulate_drives

    data = DataRecipe(scans=2, sensors={"vlp16": 1.0})
    drive = SimulatedDrive(data, 5)
    content = drive.load()
    (path,) = simulate_drives(data, tmp_path, 1, 5)
    (stored,) = recorded_drives([SourceRecipe(str(path))], DataRecipe(), tmp_path / "recorded")
    assert stored.name.endswith(drive.name)
    for a, b, most in zip(content.scans, stored.load().scans, drive.sizes(), strict=True):
        assert len(a.labels) <= most and a.name == b.name
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_allclose(a.scan.points, b.scan.points, atol=0.0021)
        np.testing.assert_allclose(a.speed, b.speed, atol=0.1251)


def test_a_later_round_learns_from_new_drives(tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.data.run_drives import RunDrives
    from kdmos_ros.train.parallel.distributed import Team

    def drives(**entries):
        data = DataRecipe(drives=2, scans=1, sensors={"vlp16": 1.0}, **entries)
        return RunDrives(data, tmp_path, Team()).to_learn_from()

    kept, anew = drives(first_drive=3), drives(first_drive=3, cache=False)
    assert [drive.name for drive in kept] == ["drive_0000003", "drive_0000004"]
    assert [drive.name for drive in anew] == ["drive_0000003", "drive_0000004"]
    for a, b in zip(kept, anew, strict=True):
        (stored,), (made,) = a.load().scans, b.load().scans
        np.testing.assert_array_equal(stored.labels, made.labels)
        np.testing.assert_allclose(stored.scan.points, made.scan.points, atol=0.0021)
    assert [drive.name for drive in drives(cache=False)] == ["drive_0000000", "drive_0000001"]


def test_held_out_drives_can_have_sensors_of_their_own(tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.data.run_drives import RunDrives
    from kdmos_ros.train.parallel.distributed import Team

    def sensors(**entries):
        data = DataRecipe(drives=1, validation_drives=1, scans=1, sensors={"vlp16": 1}, **entries)
        run = RunDrives(data, tmp_path / str(len(entries)), Team())
        return [drive.load().sensor for drive in run.to_learn_from() + run.held_out()]

    assert sensors() == ["vlp16", "vlp16"]
    assert sensors(validation_sensors={"hdl32e": 1.0}) == ["vlp16", "hdl32e"]


def test_scenes_seams_and_deskewing_are_asked_for_and_never_held_out():
    from kdmos_ros.train.data.simulated_drives import simulate_drive

    plain = DataRecipe(scans=2, sensors={"vlp16": 1.0})
    asked = DataRecipe(scans=2, sensors={"vlp16": 1.0}, scenes={"pavement": 1.0}, seams=1.0,
                       deskewed=0.5)  # fmt: skip
    assert asked.to_validate() == plain.to_validate()
    changed = 0
    for seed in range(3):
        first, second = simulate_drive(plain, seed), simulate_drive(asked, seed)
        a, b = first.scans[0].scan.points, second.scans[0].scan.points
        changed += a.shape != b.shape
        again = simulate_drive(asked, seed).scans[0].scan.points
        np.testing.assert_array_equal(again, b)
    assert changed == 3
    with pytest.raises(ValueError, match="seams"):
        DataRecipe(seams=1.5)


def test_an_unknown_scene_is_named():
    from kdmos_ros.errors import KdmosError
    from kdmos_ros.train.data.simulated_drives import simulate_drive

    with pytest.raises(KdmosError, match="no scene 'beach'"):
        simulate_drive(DataRecipe(scans=1, sensors={"vlp16": 1.0}, scenes={"beach": 1.0}), 1)


@pytest.mark.parametrize("first", [-1, VALIDATION_SEED - 1, 0.5, "7"])
def test_seeds_that_cannot_be(first):
    """The last one to learn from is below the first one to validate on."""
    with pytest.raises(ValueError, match="first_drive"):
        DataRecipe(drives=2, first_drive=first)


def test_the_last_seeds_to_learn_from():
    assert DataRecipe(drives=2, first_drive=VALIDATION_SEED - 2).first_drive > 0


def test_drives_made_anew_keep_logits_and_a_late_start(tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.features.grid import PolarGrid
    from kdmos_ros.features.spec import FeatureSpec
    from kdmos_ros.train.config.augment_recipe import AugmentRecipe
    from kdmos_ros.train.data.simulated_drives import SimulatedDrive
    from kdmos_ros.train.data.stream import DriveStream
    from kdmos_ros.train.data.teacher_logits import LogitsFolder
    from kdmos_ros.train.data.training_samples import StudentReader

    data = DataRecipe(scans=2, sensors={"vlp16": 1.0})
    drives = [SimulatedDrive(data, seed) for seed in range(2)]
    logits = LogitsFolder(tmp_path, "test")
    for drive in drives:
        content = drive.load()
        rows = [np.ones((len(s.labels), 4), np.float32) for s in content.scans]
        logits.write(content, drive.name, rows)
    reader = StudentReader(PolarGrid(n_rho=48, n_phi=40, n_z=12), FeatureSpec(), logits)

    def batches(start, n):
        augment = AugmentRecipe(drop=1.0, pose_noise_m=0.1)
        stream = iter(DriveStream(drives, reader, 1, 3, augment=augment, start=start, mix=2))
        return [next(stream) for _ in range(n)]

    for a, b in zip(batches(0, 5)[3:], batches(3, 2), strict=True):
        np.testing.assert_array_equal(a.point, b.point)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (a.teacher == 1).all()
