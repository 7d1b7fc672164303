"""Writes point clouds as PCD (v0.7) or PLY (1.0) files, binary, little-endian."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file

SUFFIXES = (".pcd", ".ply")
# Beyond this, steps of float32 exceed a millimetre: coordinates become float64.
_FLOAT32_REACH_M = 8192.0


def write_points(
    path: Path,
    points: npt.NDArray[np.float64],
    intensity: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write points (N, 3) and, if given, intensities (N,); the format goes by the suffix.

    Raises:
        KdmosError: another suffix, or the file cannot be written.
    """
    check_suffix(path)
    wide = len(points) > 0 and float(np.abs(points).max()) >= _FLOAT32_REACH_M
    columns = [(name, "<f8" if wide else "<f4") for name in "xyz"]
    if intensity is not None:
        columns.append(("intensity", "<f4"))
    rows = np.empty(len(points), np.dtype(columns))
    for axis, name in enumerate("xyz"):
        rows[name] = points[:, axis]
    if intensity is not None:
        rows["intensity"] = intensity
    header = _pcd_header(rows) if path.suffix.lower() == ".pcd" else _ply_header(rows)
    with new_file(path) as scratch, scratch.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(rows.tobytes())


def check_suffix(path: Path) -> None:
    """KdmosError unless the suffix is one of SUFFIXES."""
    if path.suffix.lower() not in SUFFIXES:
        raise KdmosError(f"{path}: a point file ends in .pcd or .ply")


def _pcd_header(rows: npt.NDArray[Any]) -> str:
    names = rows.dtype.names or ()
    sizes = [rows.dtype[name].itemsize for name in names]
    return (
        "# .PCD v0.7 - Point Cloud Data file format\n"
        "VERSION 0.7\n"
        f"FIELDS {' '.join(names)}\n"
        f"SIZE {' '.join(map(str, sizes))}\n"
        f"TYPE {' '.join('F' for _ in names)}\n"
        f"COUNT {' '.join('1' for _ in names)}\n"
        f"WIDTH {len(rows)}\n"
        "HEIGHT 1\n"
        "VIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(rows)}\n"
        "DATA binary\n"
    )


def _ply_header(rows: npt.NDArray[Any]) -> str:
    kinds = {4: "float", 8: "double"}
    properties = "".join(
        f"property {kinds[rows.dtype[name].itemsize]} {name}\n" for name in rows.dtype.names or ()
    )
    return (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(rows)}\n{properties}end_header\n"
    )
