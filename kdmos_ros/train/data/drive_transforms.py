"""Changes of a whole drive that keep scans, poses, mount, labels and teacher logits consistent.

Rows never move: a lost return becomes "no return" in its place, so that whatever is stored per
point still fits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.scan import Scan

_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])
# Elevations are told apart by 0.18 degrees when beams are dropped.
N_ELEVATIONS = 1000


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


def remove_returns(drive: LabelledDrive, lost: Sequence[npt.NDArray[np.bool_]]) -> LabelledDrive:
    """Turn the rows marked in each scan's mask (N,), which may be longer, into "no return"."""

    def thin(labelled: LabelledScan, rows: npt.NDArray[np.bool_]) -> LabelledScan:
        points = labelled.scan.points.copy()
        points[: len(rows)][rows[: len(points)]] = 0
        return _with_scan(labelled, points, labelled.scan.pose)

    scans = [thin(s, rows) for s, rows in zip(drive.scans, lost, strict=True)]
    return dataclasses.replace(drive, scans=scans)


def drop_beams(drive: LabelledDrive, lost: npt.NDArray[np.bool_]) -> LabelledDrive:
    """A sensor with fewer beams: lose the marked of N_ELEVATIONS elevations, in every scan."""

    def hit(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
        share = np.nan_to_num(elevation / np.pi + 0.5)
        return lost[np.minimum((share * len(lost)).astype(np.int64), len(lost) - 1)]

    return remove_returns(drive, [hit(s.scan.points) for s in drive.scans])


def crop_range(drive: LabelledDrive, metres: float) -> LabelledDrive:
    """A sensor that reaches less far."""
    return remove_returns(
        drive, [~(np.linalg.norm(s.scan.points, axis=1) <= metres) for s in drive.scans]
    )


def scale(drive: LabelledDrive, factor: float) -> LabelledDrive:
    """A world of another size: points, ways, speeds and the sensor's height grow alike."""
    scans = []
    for labelled in drive.scans:
        pose = labelled.scan.pose.copy()
        pose[:3, 3] *= factor
        scaled = _with_scan(labelled, labelled.scan.points * np.float32(factor), pose)
        speed = None if scaled.speed is None else scaled.speed * np.float32(factor)
        scans.append(dataclasses.replace(scaled, speed=speed))
    mount = drive.base_T_sensor.copy()
    mount[:3, 3] *= factor
    return dataclasses.replace(drive, scans=scans, base_T_sensor=mount)


def move_sensor(drive: LabelledDrive, old_T_new: npt.NDArray[np.float64]) -> LabelledDrive:
    """Express the scans in a sensor frame that sits elsewhere; the world stays.

    What the sensor would see from there is not known: keep shifts small.
    """
    back = invert(old_T_new)
    rotation, shift = back[:3, :3].astype(np.float32), back[:3, 3].astype(np.float32)

    def moved(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        result = points @ rotation.T + shift
        result[~points.any(axis=1)] = 0  # no return stays no return
        return result

    scans = [_with_scan(s, moved(s.scan.points), s.scan.pose @ old_T_new) for s in drive.scans]
    return dataclasses.replace(drive, scans=scans, base_T_sensor=drive.base_T_sensor @ old_T_new)


def raise_mount(drive: LabelledDrive, metres: float) -> LabelledDrive:
    """A mount whose height is wrong: the scans stay as they are."""
    mount = drive.base_T_sensor.copy()
    mount[2, 3] += metres
    return dataclasses.replace(drive, base_T_sensor=mount)


def tilt_mount(drive: LabelledDrive, roll: float, pitch: float) -> LabelledDrive:
    """A mount whose roll and pitch (radians) are wrong: the scans stay as they are."""
    mount = drive.base_T_sensor.copy()
    mount[:3, :3] = mount[:3, :3] @ tilt_rotation(roll, pitch)
    return dataclasses.replace(drive, base_T_sensor=mount)


def disturb_poses(drive: LabelledDrive, errors: npt.NDArray[np.float64]) -> LabelledDrive:
    """Wrong odometry: errors (S, 6), metres along and radians about each scan's x, y, z."""
    scans = []
    for labelled, error in zip(drive.scans, errors, strict=True):
        noise = make_transform(_rotation(error[3:]), error[:3])
        scans.append(_with_scan(labelled, labelled.scan.points, labelled.scan.pose @ noise))
    return dataclasses.replace(drive, scans=scans)


def remove_intensity(drive: LabelledDrive) -> LabelledDrive:
    """A sensor that measures no intensity."""
    scans = [
        dataclasses.replace(s, scan=dataclasses.replace(s.scan, intensity=None))
        for s in drive.scans
    ]
    return dataclasses.replace(drive, scans=scans)


def tilt_rotation(roll: float, pitch: float) -> npt.NDArray[np.float64]:
    """(3, 3) rotation by small angles about x and y, radians."""
    return _rotation(np.array([roll, pitch, 0.0]))


def _rotation(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 3) rotation about `vector` by its length, radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _with_scan(
    labelled: LabelledScan, points: npt.NDArray[np.float32], pose: npt.NDArray[np.float64]
) -> LabelledScan:
    scan = Scan(points, labelled.scan.intensity, labelled.scan.stamp_ns, pose)
    return dataclasses.replace(labelled, scan=scan)


def allow_later(drive: LabelledDrive, later: npt.NDArray[np.int64]) -> LabelledDrive:
    """Let each scan see so many of the scans after it, (scans,)."""
    scans = [dataclasses.replace(s, later=int(n)) for s, n in zip(drive.scans, later, strict=True)]
    return dataclasses.replace(drive, scans=scans)
