"""KITTI's calib.txt: camera projections P0..P3 and `Tr`, which moves LiDAR points to camera 0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError

Calibration = Mapping[str, npt.NDArray[np.float64]]

LIDAR_TO_CAMERA = "Tr"


def read_calibration(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Matrices (3, 4) by name, in the order of the file; other lines are left out.

    Raises:
        KdmosError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KdmosError(f"cannot read {path}: {error}") from error
    found: dict[str, npt.NDArray[np.float64]] = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        try:
            found[name.strip()] = np.array(numbers.split(), dtype=np.float64).reshape(3, 4)
        except ValueError:
            continue
    return found


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calib.txt."""
    rows = (f"{n}: {' '.join(f'{v:.12g}' for v in m.ravel())}\n" for n, m in calibration.items())
    path.write_text("".join(rows), encoding="utf-8")
