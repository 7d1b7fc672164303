"""Poses in text files: TUM's (stamp, position, quaternion) and KITTI's (3x4 matrix, no stamps)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose

TUM, KITTI = "TUM", "KITTI"
_WIDTHS = {8: TUM, 12: KITTI}
# Stamps this large are not seconds but ms, us, ns since 1970.
_UNITS_NS = ((Decimal(10) ** 17, 1), (Decimal(10) ** 14, 1000), (Decimal(10) ** 11, 1_000_000))


class Trajectory(NamedTuple):
    """The poses of a file.

    Attributes:
        stamps_ns: (K,) of TUM's; None for KITTI's, and where TUM's only count 0, 1, 2 ...
        poses: (K, 4, 4) float64.
    """

    path: Path
    form: str
    stamps_ns: npt.NDArray[np.int64] | None
    poses: npt.NDArray[np.float64]


def trajectory_form(path: Path) -> str:
    """TUM, KITTI, or empty: what the first line looks like."""
    try:
        with path.open(encoding="utf-8") as file:
            line = next((text for text in file if _words(text)), "")
    except (OSError, UnicodeDecodeError):
        return ""
    words = _words(line)
    try:
        [float(word) for word in words]
    except ValueError:
        return ""
    return _WIDTHS.get(len(words), "")


def read_trajectory(path: Path) -> Trajectory:
    """Read a file of poses.

    Raises:
        KdmosError: a line is broken; file and line are named.
    """
    form = trajectory_form(path)
    width = next((n for n, name in _WIDTHS.items() if name == form), 0)
    stamps: list[int] = []
    poses: list[npt.NDArray[np.float64]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = _words(line)
        if not words:
            continue
        try:
            if len(words) != width:
                raise ValueError(f"{len(words)} numbers, not {width}")
            poses.append(_pose([float(word) for word in words]))
            stamps.append(seconds_to_ns(words[0]) if form == TUM else len(stamps))
        except (ValueError, InvalidOperation) as error:
            raise KdmosError(f"{path}, line {number}: no pose of {form}: {error}") from error
    stamps_ns = np.array(stamps, np.int64)
    only_counts = np.array_equal(stamps_ns, np.arange(len(stamps)) * 1_000_000_000)
    has_stamps = form == TUM and not (only_counts and len(stamps) > 1)
    if has_stamps and (np.diff(stamps_ns) <= 0).any():
        late = int(np.flatnonzero(np.diff(stamps_ns) <= 0)[0])
        raise KdmosError(f"{path}: the stamp of pose {late + 2} is not after the one before")
    return Trajectory(path, form, stamps_ns if has_stamps else None, np.array(poses))


def seconds_to_ns(word: str) -> int:
    """Nanoseconds of a number of seconds, exactly; of ms, us or ns since 1970 too.

    Raises:
        ArithmeticError: no number.
    """
    value = Decimal(word)
    if not value.is_finite():
        raise InvalidOperation(word)
    scale = next((factor for limit, factor in _UNITS_NS if value >= limit), 1_000_000_000)
    return int((value * scale).to_integral_value())


def _words(line: str) -> list[str]:
    return line.partition("#")[0].replace(",", " ").split()


def _pose(numbers: list[float]) -> npt.NDArray[np.float64]:
    if len(numbers) == 8:
        return from_pose(numbers[1:4], numbers[4:])
    pose = np.eye(4)
    pose[:3] = np.reshape(numbers, (3, 4))
    turned = pose[:3, :3] @ pose[:3, :3].T
    if not np.isfinite(pose).all() or np.abs(turned - np.eye(3)).max() > 0.01:
        raise ValueError("not a rotation")
    return pose
