"""Recorded drives that participants are cast into, as a source of a recipe."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.drive_bag import DriveWriter, pack_labels
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.sim import make_drive
from kdmos_ros.train.config.checking import checked
from kdmos_ros.train.config.data_recipe import CastRecipe, DataRecipe
from kdmos_ros.train.data.cast_drives import cast_drives
from kdmos_ros.train.data.training_drives import recorded_drives

CAST = {"variants": 2, "walkers": 8, "vehicles": 2}


@pytest.fixture(scope="module")
def frames():
    drive = make_drive(31, "hdl64e", 1.2, 5.0, scene="street", ego="driving", movers=True)
    return drive, list(drive)


def write_bag(path, frames, labelled):
    drive, scans = frames
    with DriveWriter(path, drive.base_T_sensor) as writer:
        for frame in scans:
            labels = pack_labels(frame.labels, frame.instance) if labelled else None
            writer.add(frame.scan, labels)
    return path


def opened(tmp_path, path, **entries):
    cast = {**CAST, **entries.pop("cast", {})}
    source = {"path": str(path), "name": "q", "cast": cast, **entries}
    data = checked(DataRecipe, {"scans": 6, "sources": [source]}, "data")
    return data, recorded_drives(data.sources, data, tmp_path / "recorded")


@pytest.mark.slow
def test_an_unlabelled_bag_becomes_labelled_drives(tmp_path, frames):
    data, drives = opened(tmp_path, write_bag(tmp_path / "bag", frames, labelled=False))
    assert [d.name for d in drives] == ["q-bag-000000-000", "q-bag-000000-001"]
    assert data.held_out() == ()  # it is never validated on
    first, second = (d.load() for d in drives)
    seen = {UNLABELLED: 0, STATIC: 0, MOVABLE: 0, MOVING: 0}
    for scan, other, frame in zip(first.scans, second.scans, frames[1], strict=True):
        assert scan.scan.stamp_ns == frame.scan.stamp_ns
        np.testing.assert_allclose(scan.scan.pose, frame.scan.pose, atol=1e-6)
        assert len(scan.labels) != len(other.labels)
        for label in seen:
            seen[label] += int((scan.labels == label).sum())
        cast = scan.kind > 0  # nobody knows the kinds of the recording
        assert (scan.labels[~cast] <= STATIC).all() and (scan.labels[cast] != STATIC).all()
        assert (scan.speed[~cast] == 0).all() and scan.speed[cast].max() > 0.5
        # What the recording holds of movers is never learned to be static.
        kept = {tuple(p) for p in np.rint(scan.scan.points[scan.labels == STATIC] / 0.004)}
        movers = np.rint(frame.scan.points[frame.labels == MOVING] / np.float32(0.004))
        assert sum(tuple(p) in kept for p in movers) <= 0.01 * len(movers) + 1
    assert seen[MOVING] > 500 and seen[MOVABLE] > 500
    assert seen[STATIC] > 60_000 and seen[UNLABELLED] > 60_000


@pytest.mark.slow
def test_labels_of_the_recording_count_where_there_are_some(tmp_path, frames):
    _, drives = opened(tmp_path, write_bag(tmp_path / "bag", frames, labelled=True))
    for scan, frame in zip(drives[0].load().scans, frames[1], strict=True):
        share = (scan.labels == UNLABELLED).mean()
        assert share < 0.02 + (frame.labels == UNLABELLED).mean()


@pytest.mark.slow
def test_made_once_and_others_from_another_seed(tmp_path, frames):
    bag = write_bag(tmp_path / "bag", frames, labelled=False)
    _, drives = opened(tmp_path, bag, cast={"variants": 1})
    made = drives[0].path.stat().st_mtime_ns
    _, again = opened(tmp_path, bag, cast={"variants": 1})
    assert again[0].path.stat().st_mtime_ns == made
    _, anew = opened(tmp_path, bag, cast={"variants": 1, "first_seed": 50})
    assert anew[0].path != drives[0].path and anew[0].sizes() != drives[0].sizes()


@pytest.mark.parametrize(
    ("cast", "what"),
    [({"variants": 0}, "variants"), ({"walkers": -1}, "walkers"), ({"runners": 1}, "runners")],
)
def test_a_recipe_that_makes_no_sense(cast, what):
    with pytest.raises(ValueError, match=what):
        checked(DataRecipe, {"sources": [{"path": "bag", "cast": cast}]}, "data")


def test_an_unknown_sensor_is_named(tmp_path, frames):
    bag = write_bag(tmp_path / "bag", frames, labelled=False)
    with pytest.raises(KdmosError, match="no sensor 'radar'"):
        opened(tmp_path, bag, sensor="radar")


def test_a_wrong_height_is_one_line(frames):
    drive, made = frames
    scans = [LabelledScan(f.scan, f.labels, f.kind, "q/000000") for f in made]
    mount = drive.base_T_sensor.copy()
    mount[2, 3] -= 1.0
    recipe = checked(CastRecipe, CAST, "cast")
    with pytest.raises(KdmosError, match=r"q/000000: nothing can be cast.*height and tilt.*hole_m"):
        list(cast_drives(scans, mount, recipe, "hdl64e", labelled=False))
