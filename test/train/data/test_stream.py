"""The stream of training data: it can start anywhere and is the same stream."""

import shutil

import numpy as np
import pytest
from training_harness import write_drives

pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.errors import KdmosError
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.data.stream import DriveStream, loader
from kdmos_ros.train.data.training_drives import StoredDrive

EVERYTHING = AugmentRecipe(
    drop=0.7, scale=0.05, range_crop=0.5, beam_drop=0.5, shift_m=(0.1, 0.1, 0.2), tilt_deg=1.0,
    mount_tilt_deg=0.5, pose_noise_m=0.01, pose_noise_deg=0.1, no_intensity=0.5,
)  # fmt: skip


class PointReader:
    """A sample is the points of a scan as the changes left them; counts what it computed."""

    def __init__(self):
        self.computed = 0

    def samples(self, drive, steps):
        drive = drive.load()
        for step in steps:
            drive = step(drive)
        for labelled in drive.scans:
            self.computed += 1
            yield labelled.scan.points

    def collate(self, samples):
        return [np.array(s) for s in samples]


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    return write_drives(tmp_path_factory.mktemp("drives"), n=3, scans=5)


def take(stream, n):
    batches = iter(stream)
    return [next(batches) for _ in range(n)]


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        for p, q in zip(x, y, strict=True):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("start", [1, 4, 13, 31])
@pytest.mark.parametrize("augment", [None, EVERYTHING], ids=["default", "everything"])
def test_a_late_start_goes_on_with_the_same_batches(drives, start, augment):
    whole = take(DriveStream(drives, PointReader(), 2, 3, augment=augment, mix=6), start + 6)
    reader = PointReader()
    late = take(DriveStream(drives, reader, 2, 3, augment=augment, mix=6, start=start), 6)
    assert_same(whole[start:], late)
    # Held back: at most 6 samples of at most 6 drives; then 12 more samples.
    assert reader.computed <= 6 * 5 + 12 + 5, "it computed what it could have skipped"


def test_seeds_and_processes_have_streams_of_their_own(drives):
    def first(seed, rank=0, ranks=1):
        return take(DriveStream(drives, PointReader(), 2, seed, mix=6, rank=rank, ranks=ranks), 3)

    assert_same(first(1), first(1))
    for other in (first(2), first(1, 0, 2), first(1, 1, 2)):
        with pytest.raises(AssertionError):
            assert_same(first(1), other)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("start", [3, 4])
def test_worker_processes_keep_the_order(drives, workers, start):
    def some(start, n):
        batches = loader(DriveStream(drives, PointReader(), 2, 3, mix=6, start=start), workers)
        return [next(batches) for _ in range(n)]

    assert_same(some(0, start + 4)[start:], some(start, 4))


def test_a_bad_drive_names_itself_in_one_line(drives, tmp_path):
    bad = tmp_path / "bad.npz"
    shutil.copy(drives[0].path, bad)
    bad.write_bytes(bad.read_bytes()[:2000])
    with pytest.raises(KdmosError, match=r"bad\.npz: not a readable drive") as caught:
        next(loader(DriveStream([StoredDrive(bad)], PointReader(), 1, 0, mix=1)))
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_no_scans_are_an_error_not_a_hang(tmp_path):
    paths = write_drives(tmp_path, n=1, scans=0)
    with pytest.raises(KdmosError, match="no scan"):
        take(DriveStream(paths, PointReader(), 1, 0), 1)
