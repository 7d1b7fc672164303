"""Point clouds in files: .pcd, .ply and the bare float32 of .bin, as named columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError

Columns = list[tuple[str, npt.NDArray[Any]]]

SUFFIXES = (".pcd", ".ply", ".bin")
NUSCENES = ".pcd.bin"
# What KITTI, nuScenes and bare coordinates have in a .bin file, all float32.
BIN_COLUMNS: dict[int, tuple[str, ...]] = {
    4: ("x", "y", "z", "intensity"),
    5: ("x", "y", "z", "intensity", "ring"),
    3: ("x", "y", "z"),
}
_FAR_M = 1e4
# pypcd4's name for the padding `_`, and its ending for a field of several numbers.
_PADDING, _SEVERAL = "#$%&~~", "__0000"


def suffix_of(path: Path) -> str:
    """The suffix of a cloud's file, in lower case; empty for other files."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def stem_of(path: Path) -> str:
    """The name of a cloud's file without its suffix."""
    whole = path.name.lower().endswith(NUSCENES)
    return path.name[: -len(NUSCENES)] if whole else path.stem


def bin_columns(files: Sequence[Path]) -> tuple[str, ...]:
    """What the .bin files of a drive hold: the columns that divide all their sizes.

    Where several do, nuScenes' names and plausible coordinates decide.

    Raises:
        KdmosError: none does.
    """
    sizes = np.array([file.stat().st_size for file in files])
    fitting = [n for n in BIN_COLUMNS if not (sizes % (4 * n)).any()]
    if not fitting:
        odd = next(f for f, size in zip(files, sizes, strict=True) if size % 16)
        raise KdmosError(
            f"{odd}: {odd.stat().st_size} bytes are no points of 3, 4 or 5 float32 (is it cut off?)"
        )
    if 5 in fitting and files[0].name.lower().endswith(NUSCENES):
        return BIN_COLUMNS[5]
    values = np.fromfile(files[0], "<f4")
    likely = [n for n in fitting if _plausible(values.reshape(-1, n))]
    return BIN_COLUMNS[(likely or fitting)[0]]


def read_cloud_file(path: Path, columns: tuple[str, ...] = ()) -> Columns:
    """The columns (N,) of a cloud with their names, x, y and z (metres) among them.

    Args:
        columns: of a .bin file, see `bin_columns`.

    Raises:
        KdmosError: the file is missing, broken, cut off, or has no coordinates; it is named.
    """
    suffix = suffix_of(path)
    try:
        if suffix == ".bin":
            return _read_bin(path, columns)
        found = _read_pcd(path) if suffix == ".pcd" else _read_ply(path)
    except (OSError, ModuleNotFoundError, KdmosError):
        raise
    except Exception as error:  # the libraries raise whatever the broken bytes lead to
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise KdmosError(f"{path} is no readable {suffix[1:].upper()} file: {why}") from error
    _check_coordinates(path, found)
    # PointCloud2 has no integers of 64 bits.
    return [(n, c.astype(np.float64) if c.dtype.kind in "iu" and c.dtype.itemsize == 8 else c)
            for n, c in found]  # fmt: skip


def check_libraries(files: Sequence[Path]) -> None:
    """ModuleNotFoundError unless what reads these files is installed."""
    suffixes = {suffix_of(file) for file in files}
    if ".pcd" in suffixes:
        import pypcd4  # noqa: F401
    if ".ply" in suffixes:
        import plyfile  # noqa: F401


def _read_bin(path: Path, columns: tuple[str, ...]) -> Columns:
    values = np.fromfile(path, "<f4").reshape(-1, len(columns))
    scale = np.float32(255 if path.name.lower().endswith(NUSCENES) else 1)
    return [
        (name, values[:, k] / scale if name == "intensity" else values[:, k])
        for k, name in enumerate(columns)
    ]


def _read_pcd(path: Path) -> Columns:
    from pypcd4 import PointCloud

    cloud = PointCloud.from_path(path)
    rows = np.atleast_1d(cloud.pc_data)
    if len(rows) != cloud.metadata.points:
        raise ValueError(f"{len(rows)} of {cloud.metadata.points} points: it is cut off")
    names = rows.dtype.names or ()
    several = {name.removesuffix(_SEVERAL) + "__" for name in names if name.endswith(_SEVERAL)}
    return [
        (name, rows[name])
        for name in names
        if not name.startswith((_PADDING, *several)) and rows[name].ndim == 1
    ]


def _read_ply(path: Path) -> Columns:
    from plyfile import PlyData

    rows = PlyData.read(str(path))["vertex"].data
    # CloudCompare writes scalar_Intensity.
    return [
        (name.removeprefix("scalar_").lower(), rows[name])
        for name in rows.dtype.names or ()
        if rows.dtype[name].kind != "O"
    ]


def _check_coordinates(path: Path, columns: Columns) -> None:
    kinds = {name: column.dtype for name, column in columns}
    if missing := [axis for axis in "xyz" if axis not in kinds]:
        raise KdmosError(
            f"{path} has no field {missing[0]}: x, y and z are needed, it has"
            f" {', '.join(kinds) or 'none'}"
        )
    for axis in "xyz":
        if kinds[axis].kind != "f":
            raise KdmosError(f"{path}: {axis} is {kinds[axis].name}, not float32 or float64")


def _plausible(rows: npt.NDArray[np.float32]) -> bool:
    """Whether rows can be points: near the LiDAR, intensities not negative."""
    if not np.isfinite(rows).all() or (np.abs(rows[:, :3]) > _FAR_M).any():
        return False
    return rows.shape[1] == 3 or bool((rows[:, 3] >= 0).all())
