"""Teacher logits on disk: they belong to their points, or there is an error that names the scan."""

import dataclasses

import numpy as np
import pytest
from training_harness import make_drive, write_drives

from kdmos_ros.errors import KdmosError
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.data.augment import augment
from kdmos_ros.train.data.teacher_logits import LogitsFolder, import_logits


def made_for(drive, seed=0):
    """Logits that tell their row: column 1 is its number."""
    rng = np.random.default_rng(seed)
    result = []
    for labelled in drive.scans:
        rows = rng.normal(0, 3, (len(labelled.labels), 4)).astype(np.float32)
        rows[:, 1] = np.arange(len(rows))
        result.append(rows)
    return result


@pytest.fixture
def case(tmp_path):
    """(folder, name of the drive, drive, logits), written."""
    (stored,) = write_drives(tmp_path, n=1)
    drive = stored.load()
    folder = LogitsFolder(tmp_path / "logits", "teacher 1")
    logits = made_for(drive)
    logits[0][3] = np.nan
    folder.write(drive, stored.name, logits)
    return folder, stored.name, drive, logits


def test_logits_survive_the_disk(case):
    folder, name, drive, logits = case
    attached = folder.attach(drive, name)
    for labelled, rows in zip(attached.scans, logits, strict=True):
        assert labelled.logits.dtype == np.float16
        np.testing.assert_allclose(labelled.logits, rows, rtol=1e-3, atol=1e-3)
    assert folder.has(name)
    assert [p.name for p in folder.path.iterdir()] == [f"{name}.npz"], "a half-written file is left"


@pytest.mark.slow
def test_huge_logits_stay_finite(case):
    folder, name, drive, logits = case
    logits[1][:] = 1e9
    folder.write(drive, name, logits)
    assert np.isfinite(folder.attach(drive, name).scans[1].logits).all()


def test_missing_logits_name_the_scan(case):
    folder, name, drive, _ = case
    folder.file(name).unlink()
    assert not folder.has(name)
    with pytest.raises(KdmosError, match=r"no teacher logits of drive_0000000/000000"):
        folder.attach(drive, name)


def test_a_missing_entry_names_the_scan(case):
    folder, name, drive, logits = case
    short = dataclasses.replace(drive, scans=drive.scans[:2])
    folder.write(short, name, logits[:2])
    with pytest.raises(
        KdmosError, match=r"no teacher logits of drive_0000000/000002 \(stamp 400000000\)"
    ):
        folder.attach(drive, name)


@pytest.mark.parametrize("what", ["points", "stamp", "order"])
def test_other_points_name_the_scan(case, what):
    folder, name, drive, _ = case
    scan = drive.scans[1].scan
    points = scan.points.copy()
    stamp = scan.stamp_ns + (what == "stamp")
    if what == "points":
        points[7, 2] += 0.004
    if what == "order":
        points[[0, 1]] = points[[1, 0]]
    changed = dataclasses.replace(scan, points=points, stamp_ns=stamp)
    drive.scans[1] = dataclasses.replace(drive.scans[1], scan=changed)
    with pytest.raises(KdmosError, match=r"not of drive_0000000/000001 \(stamp 20000000"):
        folder.attach(drive, name)


def test_another_teachers_logits_are_refused(case):
    folder, name, drive, _ = case
    other = LogitsFolder(folder.path, "teacher 2")
    assert not other.has(name)
    with pytest.raises(KdmosError, match="by teacher 1, wanted by teacher 2"):
        other.attach(drive, name)


def test_logits_of_another_drive_are_refused(case):
    folder, name, drive, _ = case
    renamed = "drive_0000009"
    folder.file(name).rename(folder.file(renamed))
    with pytest.raises(KdmosError, match=r"are those of drive_0000000\.npz"):
        folder.attach(drive, renamed)


def test_a_damaged_file_names_itself_and_the_scan(case):
    folder, name, drive, _ = case
    file = folder.file(name)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nonsense"):
        file.write_bytes(damaged)
        assert not folder.has(name)
        with pytest.raises(KdmosError, match=r"logits.*unreadable teacher logits of .*/000000"):
            folder.attach(drive, name)


def test_nothing_is_unpickled(case):
    folder, name, drive, _ = case
    with open(folder.file(name), "wb") as file:
        np.savez(file, logits=np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(KdmosError, match="unreadable"):
        folder.attach(drive, name)


@pytest.mark.parametrize("shape", [(5, 4), (300, 3)])
def test_logits_of_a_wrong_shape_are_not_written(case, shape):
    folder, name, drive, logits = case
    with pytest.raises(KdmosError, match=r"/000000 .*expected floats \(300, 4\)"):
        folder.write(drive, name, [np.zeros(shape, np.float32), *logits[1:]])


# --- logits made elsewhere ----------------------------------------------------------------------


@pytest.mark.parametrize("number", ["{:06d}", "{}"])
def test_published_logits_are_taken_over(case, tmp_path, number):
    folder, name, drive, logits = case
    logits[0][3] = 0
    for i, rows in enumerate(logits):
        np.save(tmp_path / f"{name}_{number.format(i)}.npy", rows)
    taken = import_logits(tmp_path, drive)
    folder.write(drive, name, taken)
    np.testing.assert_array_equal(folder.attach(drive, name).scans[2].logits, taken[2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no teacher logits of drive_0000000/000000"),
        (np.zeros((3, 4), np.float32), r"/000000 .*\(3, 4\)"),
        (np.zeros((300, 4), np.int64), r"/000000 .*int64"),
        (np.full((300, 4), np.inf, np.float32), "/000000 .*not finite"),
        (b"\x93NUMPY broken", "unreadable teacher logits"),
        (np.array([object()], dtype=object), "unreadable teacher logits"),  # would be unpickled
    ],
)
def test_bad_published_logits_name_file_and_scan(case, tmp_path, content, message):
    _, name, drive, _ = case
    file = tmp_path / f"{name}_000000.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.save(file, content)
    with pytest.raises(KdmosError, match=message):
        import_logits(tmp_path, drive)


# --- augmentation -------------------------------------------------------------------------------

EVERYTHING = AugmentRecipe(
    mirror=1, drop=1, scale=0.1, range_crop=1, beam_drop=1, shift_m=(0.2, 0.2, 0.3), tilt_deg=2,
    mount_tilt_deg=1, pose_noise_m=0.05, pose_noise_deg=0.3, no_intensity=1,
)  # fmt: skip


def test_augmented_points_keep_their_labels_and_logits():
    """Undo the augmentation of each point by its row: what is left is where it was."""
    drive = make_drive(0)
    drive.scans[:] = [
        dataclasses.replace(s, logits=rows.astype(np.float16))
        for s, rows in zip(drive.scans, made_for(drive), strict=True)
    ]
    changed = augment(drive, np.random.default_rng(5), EVERYTHING)
    for before, after in zip(drive.scans, changed.scans, strict=True):
        np.testing.assert_array_equal(before.labels, after.labels)
        np.testing.assert_array_equal(before.kind, after.kind)
        np.testing.assert_array_equal(before.logits, after.logits)
        kept = after.scan.points.any(axis=1)
        assert 20 < kept.sum() < len(kept)
        # All changes are similarities: distances between any two kept points have one ratio.
        a, b = before.scan.points[kept], after.scan.points[kept]
        ratio = np.linalg.norm(b - b[0], axis=1)[1:] / np.linalg.norm(a - a[0], axis=1)[1:]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
        assert 0.9 <= ratio[0] <= 1.1


def test_the_student_reads_the_logits_of_its_own_points(case, tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.features.grid import PolarGrid
    from kdmos_ros.features.spec import FeatureSpec
    from kdmos_ros.train.data.augment import draw
    from kdmos_ros.train.data.training_drives import StoredDrive
    from kdmos_ros.train.data.training_samples import StudentReader

    folder, name, drive, logits = case
    reader = StudentReader(PolarGrid(n_rho=48, n_phi=40, n_z=12), FeatureSpec(), folder)
    counts = [len(s.labels) for s in drive.scans]
    steps = draw(counts, np.random.default_rng(5), EVERYTHING)
    stored = StoredDrive(tmp_path / f"{name}.npz")
    samples = list(reader.samples(stored, steps))
    for sample, rows in zip(samples, logits, strict=True):
        np.testing.assert_allclose(sample.teacher, rows[sample.frame.index], rtol=1e-3, atol=1e-3)
    batch = reader.collate(samples[:2])
    assert batch.teacher.shape == (len(batch.labels), 4)


def test_a_team_shares_out_all_drives(tmp_path):
    """Whoever comes late finds files of the others, and still does all of its own."""
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.fitting.teacher_stage import import_all
    from kdmos_ros.train.parallel.distributed import Team

    drives = write_drives(tmp_path, n=5, scans=1)
    external = tmp_path / "external"
    external.mkdir()
    for drive in drives:
        np.save(external / f"{drive.name}_0.npy", np.zeros((300, 4), np.float32))

    class Late(Team):
        def wait(self):
            pass

    for rank in (1, 0):
        import_all(external, drives, tmp_path / "logits", Late(rank=rank, size=2))
    assert len(list((tmp_path / "logits").iterdir())) == 5
