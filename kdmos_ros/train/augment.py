"""Changes of a whole drive that keep scans, poses, mount and labels consistent.

Residuals are computed afterwards from the changed scans and poses by the shared code.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.train.drive_file import LabelledDrive, LabelledScan

_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])


def augment(drive: LabelledDrive, rng: np.random.Generator) -> LabelledDrive:
    """A random view of a drive: turned sensor, mirrored world, lost returns, wrong height."""
    if rng.random() < 0.5:
        drive = mirror(drive)
    drive = turn_sensor(drive, rng.uniform(-np.pi, np.pi))
    if rng.random() < 0.2:
        drive = drop_points(drive, rng.uniform(0.02, 0.3), rng)
    # The base's z = 0 is not exactly on the road: load, tyres, a wrong extrinsic.
    mount = drive.base_T_sensor.copy()
    mount[2, 3] += rng.normal(0, 0.05)
    return dataclasses.replace(drive, base_T_sensor=mount)


def mirror(drive: LabelledDrive) -> LabelledDrive:
    """Mirror the world at the sensor's x-z plane; poses and mount are conjugated."""
    flip = np.array([1, -1, 1], np.float32)
    scans = [
        _with_scan(s, s.scan.points * flip, _MIRROR @ s.scan.pose @ _MIRROR) for s in drive.scans
    ]
    return dataclasses.replace(
        drive, scans=scans, base_T_sensor=_MIRROR @ drive.base_T_sensor @ _MIRROR
    )


def turn_sensor(drive: LabelledDrive, angle: float) -> LabelledDrive:
    """Turn the sensor frame about its z axis by -angle (radians): the points turn by +angle.

    The world, and so the height above the base, stays as it is.
    """
    c, s = np.cos(angle), np.sin(angle)
    turn = make_transform([[c, -s, 0], [s, c, 0], [0, 0, 1]], [0, 0, 0])
    rotation = turn[:3, :3].astype(np.float32)
    scans = [
        _with_scan(labelled, labelled.scan.points @ rotation.T, labelled.scan.pose @ turn.T)
        for labelled in drive.scans
    ]
    # The level frame turns along with the sensor, so that the grid sees the turned points.
    mount = drive.base_T_sensor.copy()
    mount[:3, :3] = turn[:3, :3] @ mount[:3, :3] @ turn[:3, :3].T
    return dataclasses.replace(drive, scans=scans, base_T_sensor=mount)


def drop_points(drive: LabelledDrive, share: float, rng: np.random.Generator) -> LabelledDrive:
    """Turn a random share of the returns of each scan into "no return"."""

    def thin(labelled: LabelledScan) -> LabelledScan:
        points = labelled.scan.points.copy()
        points[rng.random(len(points)) < share] = 0
        return _with_scan(labelled, points, labelled.scan.pose)

    return dataclasses.replace(drive, scans=[thin(s) for s in drive.scans])


def _with_scan(
    labelled: LabelledScan, points: npt.NDArray[np.float32], pose: npt.NDArray[np.float64]
) -> LabelledScan:
    scan = Scan(points, labelled.scan.intensity, labelled.scan.stamp_ns, pose)
    return dataclasses.replace(labelled, scan=scan)
