"""Residuals are those of the changed scans: a change of the world leaves what moves moving."""

import numpy as np
import pytest

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.labels import MOVING, STATIC
from kdmos_ros.sim import make_drive
from kdmos_ros.train.data.drive_transforms import (
    crop_range,
    disturb_poses,
    mirror,
    move_sensor,
    remove_intensity,
    remove_returns,
    scale,
    turn_sensor,
)

GRID = PolarGrid(n_rho=48, n_phi=40, n_z=12)
SEED = 2
SPEC = FeatureSpec(point=("rho", "visibility"))


@pytest.fixture(scope="module")
def drive():
    """Three scans of 0.4 s apart, in traffic on a crossing."""
    drive = make_drive(
        SEED, "vlp16", duration_s=1.2, rate_hz=2.5, scene="crossing", movers=True, ego="standing"
    )
    scans = [LabelledScan(frame.scan, frame.labels, frame.kind) for frame in drive]
    return LabelledDrive(scans, drive.base_T_sensor, "vlp16")


def residuals(drive):
    """See-through columns of every point of the last scan (N, 2 L); NaN for those not in the grid;
    for each lag how much nearer, then how much farther the past scan saw something."""
    extractor = FeatureExtractor(GRID, SPEC, drive.base_T_sensor)
    frames = [extractor.push(labelled.scan) for labelled in drive.scans]
    result = np.full((len(drive.scans[-1].labels), SPEC.n_point - 1), np.nan)
    result[frames[-1].index] = frames[-1].point[:, 1:]
    return result


WORLD = {
    "turn": lambda d: turn_sensor(d, 2.0),
    "mirror": mirror,
    "intensity": remove_intensity,
}


@pytest.mark.parametrize("name", WORLD)
def test_the_same_world_has_the_same_residuals(drive, name):
    before, after = residuals(drive), residuals(WORLD[name](drive))
    both = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    assert both.sum() > 5000
    # Range images are cut into pixels anew, so that edges may look different.
    assert (np.abs(before - after)[both].max(axis=1) < 0.3).mean() > 0.85


@pytest.mark.parametrize(
    "change",
    [
        lambda d: turn_sensor(mirror(d), -1.0),
        lambda d: scale(d, 1.1),
        lambda d: move_sensor(d, from_pose([0.1, -0.1, 0.2], [0.01, 0.02, 0, 1])),
        lambda d: crop_range(d, 40.0),
    ],
)
def test_movers_stay_seen_through_and_statics_do_not(drive, change):
    """A mover stands where free space was seen; a wall does not."""
    changed = change(drive)
    labels = drive.scans[-1].labels
    shares = {}
    for which, content in (("before", drive), ("after", changed)):
        columns = residuals(content)
        known = np.isfinite(columns[:, 0])
        seen_through = (columns[:, : SPEC.n_point // 2] > 0.5).any(axis=1)
        shares[which] = [seen_through[known & (labels == c)].mean() for c in (MOVING, STATIC)]
    assert shares["before"][0] > 4 * shares["before"][1], "the drive has movers"
    np.testing.assert_allclose(shares["after"], shares["before"], atol=0.08)


def test_wrong_poses_make_wrong_residuals(drive):
    """They are computed from the changed poses, not carried over."""
    errors = np.zeros((len(drive.scans), 6))
    errors[-1, 0] = 2.0
    wrong = residuals(disturb_poses(drive, errors))
    static = drive.scans[-1].labels == STATIC
    changed = np.nanmean(np.abs(wrong - residuals(drive))[static].max(axis=1) > 0.3)
    assert changed > 0.3


def test_what_is_lost_in_the_past_is_not_seen_through(drive):
    lost = [np.ones(len(s.labels), bool) for s in drive.scans]
    lost[-1][:] = False
    blind = residuals(remove_returns(drive, lost))
    assert (np.nan_to_num(blind) == 0).all(), "nothing is known where nothing was seen"
