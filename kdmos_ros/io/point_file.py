"""Writes point clouds as binary PCD (v0.7), PLY (1.0), LAS (1.4) or COPC (1.0) files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.copc_file import write_copc

SUFFIXES = (".pcd", ".ply", ".las", ".laz")
_COPC = ".copc.laz"
# Beyond this, steps of float32 exceed a millimetre: coordinates become float64.
_FLOAT32_REACH_M = 8192.0
_LAS_STEP_M = 0.001


@dataclass(frozen=True)
class MapPoints:
    """Points of a map.

    Attributes:
        points: (N, 3) float64, metres.
        intensity: (N,) float32 in 0..1; None: not known.
        normals: (N, 3) float32 of length 1, NaN where not known; None: of no point.
        rgb: (N, 3) uint8, or None.
    """

    points: npt.NDArray[np.float64]
    intensity: npt.NDArray[np.float32] | None = None
    normals: npt.NDArray[np.float32] | None = None
    rgb: npt.NDArray[np.uint8] | None = None


def write_points(
    path: Path,
    points: npt.NDArray[np.float64],
    intensity: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write points (N, 3) and, if given, intensities (N,); see `write_map`."""
    write_map(path, MapPoints(points, intensity))


def write_map(path: Path, cloud: MapPoints) -> None:
    """Write points; the format goes by the suffix.

    Normals are named as PCL and PLY have them. LAS has intensities of 16 bits, steps of a
    millimetre, and normals as extra dimensions; COPC (.copc.laz) the same without normals.

    Raises:
        KdmosError: another suffix, or the file cannot be written.
        ModuleNotFoundError: laspy is not installed, or for COPC copclib.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix in (".las", ".laz"):
        _write_las(path, cloud)
        return
    rows = _rows(cloud, suffix)
    header = _pcd_header(rows) if suffix == ".pcd" else _ply_header(rows)
    with new_file(path) as scratch, scratch.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(rows.tobytes())


def check_suffix(path: Path) -> None:
    """KdmosError unless the suffix is one of SUFFIXES; ModuleNotFoundError without its library."""
    if path.suffix.lower() not in SUFFIXES:
        raise KdmosError(f"{path}: a point file ends in .pcd, .ply, .las or .laz")
    if path.suffix.lower() in (".las", ".laz"):
        import laspy  # noqa: F401
    if _is_copc(path):
        import copclib  # noqa: F401


def _is_copc(path: Path) -> bool:
    return path.name.lower().endswith(_COPC)


def colours_by_height(points: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(N, 3) uint8 from blue (1st percentile of z) over green to red (99th) of points (N, 3)."""
    if not len(points):
        return np.empty((0, 3), np.uint8)
    low, high = np.percentile(points[:, 2], (1, 99))
    x = np.clip((points[:, 2] - low) / max(high - low, 1e-6), 0, 1)
    rgb = np.stack([1.5 - np.abs(4 * x - k) for k in (3, 2, 1)], axis=1)
    return (np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _rows(cloud: MapPoints, suffix: str) -> npt.NDArray[Any]:
    points = cloud.points
    wide = len(points) > 0 and float(np.abs(points).max()) >= _FLOAT32_REACH_M
    columns: dict[str, npt.NDArray[Any]] = {
        name: points[:, axis].astype("<f8" if wide else "<f4") for axis, name in enumerate("xyz")
    }
    if cloud.intensity is not None:
        columns["intensity"] = cloud.intensity.astype("<f4")
    if cloud.normals is not None:
        names = ("nx", "ny", "nz") if suffix == ".ply" else ("normal_x", "normal_y", "normal_z")
        columns.update((n, cloud.normals[:, i].astype("<f4")) for i, n in enumerate(names))
    if cloud.rgb is not None and suffix == ".ply":
        columns.update((n, cloud.rgb[:, i]) for i, n in enumerate(("red", "green", "blue")))
    elif cloud.rgb is not None:  # PCL packs the three bytes
        red, green, blue = cloud.rgb.T.astype("<u4")
        columns["rgb"] = red << 16 | green << 8 | blue
    rows = np.empty(len(points), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows


def _write_las(path: Path, cloud: MapPoints) -> None:
    import laspy

    header = laspy.LasHeader(point_format=6 if cloud.rgb is None else 7, version="1.4")
    header.scales = np.full(3, _LAS_STEP_M)
    header.offsets = np.floor(cloud.points.min(axis=0)) if len(cloud.points) else np.zeros(3)
    if cloud.normals is not None:
        header.add_extra_dims([laspy.ExtraBytesParams(name=n, type="f4") for n in _LAS_NORMALS])
    las = laspy.LasData(header)
    las.x, las.y, las.z = cloud.points.T
    if cloud.intensity is not None:
        las.intensity = (np.clip(cloud.intensity, 0, 1) * 65535).astype(np.uint16)
    if cloud.normals is not None:
        for axis, name in enumerate(_LAS_NORMALS):
            las[name] = cloud.normals[:, axis]
    if cloud.rgb is not None:
        las.red, las.green, las.blue = cloud.rgb.T.astype(np.uint16) * 257
    with new_file(path) as scratch:
        if _is_copc(path):
            write_copc(scratch, las)
            return
        try:
            with scratch.open("wb") as file:
                las.write(file, do_compress=path.suffix.lower() == ".laz")
        except laspy.errors.LaspyException as error:
            raise KdmosError(f"cannot write {path}: {error}") from error


_LAS_NORMALS = ("NormalX", "NormalY", "NormalZ")


def _pcd_header(rows: npt.NDArray[Any]) -> str:
    names = rows.dtype.names or ()
    types = [rows.dtype[name] for name in names]
    return (
        "# .PCD v0.7 - Point Cloud Data file format\n"
        "VERSION 0.7\n"
        f"FIELDS {' '.join(names)}\n"
        f"SIZE {' '.join(str(t.itemsize) for t in types)}\n"
        f"TYPE {' '.join(t.kind.upper() for t in types)}\n"
        f"COUNT {' '.join('1' for _ in names)}\n"
        f"WIDTH {len(rows)}\n"
        "HEIGHT 1\n"
        "VIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(rows)}\n"
        "DATA binary\n"
    )


def _ply_header(rows: npt.NDArray[Any]) -> str:
    kinds = {"f4": "float", "f8": "double", "u1": "uchar"}
    properties = "".join(
        f"property {kinds[rows.dtype[name].str[1:]]} {name}\n" for name in rows.dtype.names or ()
    )
    return (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(rows)}\n{properties}end_header\n"
    )
