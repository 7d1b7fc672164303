"""Labelled drives on disk: what was made or taken over once, read many times in training.

One uncompressed .npz a drive. Points are stored as whole steps of 4 mm (finer than any LiDAR's
noise), because a drive is read more often than it is made.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.scan import Scan

STEP_M = 0.004
STEP_MPS = 0.25  # of speeds
_KNOWN = ("speed", "instance")  # of points too, where the source tells
_PER_POINT = ("points", "labels", "kind", "intensity")
_INT16_MAX = np.iinfo(np.int16).max


@dataclass(frozen=True)
class LabelledDrive:
    """Scans of one drive in time order and the mount of its sensor, (4, 4) T_base_sensor."""

    scans: list[LabelledScan]
    base_T_sensor: npt.NDArray[np.float64]
    sensor: str


def save_drive(drive: LabelledDrive, path: Path) -> None:
    """Write a drive; the file appears whole or not at all.

    Raises:
        KdmosError: it cannot be written.
    """
    scans = drive.scans
    speeds = [s.speed for s in scans if s.speed is not None]
    known: dict[str, Any] = {}
    if len(speeds) == len(scans):
        known["speed"] = _concatenate([_speed_steps(s) for s in speeds], (0,), np.uint8)
    instances = [s.instance for s in scans if s.instance is not None]
    if len(instances) == len(scans):
        known["instance"] = _concatenate([_numbers(s) for s in instances], (0,), np.uint16)
    with new_file(path) as temporary:
        np.savez(
            temporary,
            points=_concatenate([_to_steps(s.scan.points) for s in scans], (0, 3), np.int16),
            labels=_concatenate([s.labels for s in scans], (0,), np.uint8),
            kind=_concatenate([s.kind for s in scans], (0,), np.uint8),
            intensity=_concatenate([_to_bytes(s.scan) for s in scans], (0,), np.uint8),
            count=np.array([len(s.labels) for s in scans], np.int64),
            stamp_ns=np.array([s.scan.stamp_ns for s in scans], np.int64),
            pose=np.array([s.scan.pose for s in scans], np.float64).reshape(-1, 4, 4),
            base_T_sensor=drive.base_T_sensor,
            sensor=np.array(drive.sensor),
            **known,
        )


def load_drive(path: Path) -> LabelledDrive:
    """Read a drive; its scans are named after the file and their number in it.

    Raises:
        KdmosError: the file is missing, truncated or not such a file.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        ends = np.cumsum(content["count"])
        n_points = ends[-1] if len(ends) else 0
        if any(len(content[name]) != n_points for name in {*_PER_POINT, *_KNOWN} & content.keys()):
            raise ValueError("scan lengths do not add up")
        scans = [
            LabelledScan(
                Scan(
                    content["points"][start:end].astype(np.float32) * np.float32(STEP_M),
                    content["intensity"][start:end].astype(np.float32) / np.float32(255),
                    int(stamp),
                    pose,
                ),
                content["labels"][start:end],
                content["kind"][start:end],
                f"{path.stem}/{i:06d}",
                _speed(content["speed"][start:end]) if "speed" in content else None,
                content["instance"][start:end].astype(np.int32) if "instance" in content else None,
            )
            for i, (start, end, stamp, pose) in enumerate(
                zip(
                    ends - content["count"], ends, content["stamp_ns"], content["pose"], strict=True
                )
            )
        ]
        return LabelledDrive(scans, content["base_T_sensor"], str(content["sensor"]))
    except (OSError, ValueError, MemoryError, KeyError, zipfile.BadZipFile) as error:
        raise KdmosError(f"{path}: not a readable drive: {error}") from error


@dataclass(frozen=True)
class DriveHeader:
    """What a drive file tells without its points being read: points of each scan, the mount."""

    sizes: list[int]
    base_T_sensor: npt.NDArray[np.float64]
    sensor: str


def read_header(path: Path) -> DriveHeader:
    """Read the header of a drive.

    Raises:
        KdmosError: as in `load_drive`.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            sizes = [int(n) for n in file["count"]]
            return DriveHeader(sizes, file["base_T_sensor"], str(file["sensor"]))
    except (OSError, ValueError, MemoryError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise KdmosError(f"{path}: not a readable drive: {error}") from error


def _concatenate(
    parts: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: type
) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(shape, dtype), *parts])


def _to_steps(points: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    # Farther than 131 m is out of every grid; such a return becomes "no return".
    steps = np.rint(points / np.float32(STEP_M))
    steps[~(np.abs(steps) <= _INT16_MAX).all(axis=1)] = 0
    return steps.astype(np.int16)


def _speed_steps(speed: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(speed / np.float32(STEP_MPS)), 0, 255).astype(np.uint8)


def _speed(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return steps.astype(np.float32) * np.float32(STEP_MPS)


def _numbers(instance: npt.NDArray[np.int32]) -> npt.NDArray[np.uint16]:
    # Ids tell the objects of one scan apart, so that small numbers do; 0 stays 0.
    ids, number = np.unique(np.append(instance, 0), return_inverse=True)
    order = np.argsort(ids != 0, kind="stable")
    small = np.empty(len(ids), np.uint16)
    small[order] = np.arange(len(ids))
    return small[number[:-1]]


def _to_bytes(scan: Scan) -> npt.NDArray[np.uint8]:
    if scan.intensity is None:
        return np.zeros(len(scan.points), np.uint8)
    return np.clip(np.rint(scan.intensity * 255), 0, 255).astype(np.uint8)
