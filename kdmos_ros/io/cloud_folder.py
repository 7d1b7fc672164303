"""A folder of clouds with a file of poses: what lies there, and how it goes together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry import transforms
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.io.calibration_file import LIDAR_TO_CAMERA, read_calibration
from kdmos_ros.io.cloud_file import bin_columns, check_libraries, stem_of, suffix_of
from kdmos_ros.io.file_stamps import TIME_FILES, Stamps, read_times, stamps_of_names
from kdmos_ros.io.trajectory_file import Trajectory, read_trajectory, trajectory_form

Matrix = npt.NDArray[np.float64]

CALIBRATION, MOUNT = "calib.txt", "mount.txt"
LABELS = "labels"
RATE_HZ = 10.0
# Poses that go farther than this, and so much of the way along z, are a camera's.
_FEW_M, _MOST = 5.0, 0.8
_POSE_SUFFIXES = (".txt", ".tum", ".kitti", ".csv")
NO_POSES = (
    "no file of poses lies beside the clouds (TUM's format: stamp x y z qx qy qz qw a line;"
    " KITTI's: 12 numbers a line)"
)


@dataclass(frozen=True)
class CloudFolder:
    """Clouds with stamps and poses.

    Attributes:
        files: (S) of the clouds, in the order of their stamps.
        stamps_ns: (S,) of the clouds.
        columns: of .bin files.
        trajectories: files of poses that fit, with stamps and poses of the LiDAR, or of the base
            where `mount` is known.
        mount: (4, 4) T_base_lidar, or None: the poses are the LiDAR's own.
        labels: (S) files of labels, or none.
        about: what was found, one line.
        misfits: what is wrong with the files of poses that do not go with the clouds, one line.
    """

    files: list[Path]
    stamps_ns: Stamps
    columns: tuple[str, ...]
    trajectories: list[Trajectory]
    mount: Matrix | None
    labels: list[Path]
    about: str
    misfits: str


def clouds_in(path: Path) -> list[Path]:
    """The clouds in a folder, or in the one folder inside it that has any; sorted by name.

    Raises:
        KdmosError: several of the folders inside have clouds.
    """
    if own := _clouds(path):
        return own
    inner = [(f, c) for f in sorted(path.iterdir()) if f.is_dir() and (c := _clouds(f))]
    if len(inner) > 1:
        names = ", ".join(str(folder) for folder, _ in inner)
        raise KdmosError(f"{path} has several folders of clouds, name one of them: {names}")
    return inner[0][1] if inner else []


def read_cloud_folder(path: Path, files: list[Path]) -> CloudFolder:
    """Find stamps, poses, mount and labels of clouds.

    Args:
        path: the folder that the user names.
        files: its clouds, see `clouds_in`.

    Raises:
        KdmosError: a file is broken, or does not go with the clouds.
    """
    check_libraries(files)
    kind = _only(sorted({suffix_of(file) for file in files}), path)
    columns = bin_columns(files) if kind == ".bin" else ()
    places = _places(path, files[0].parent)
    stamps, source = _stamps(places, files)
    trajectories, problems = [], []
    for file in _pose_files(places):
        trajectory = read_trajectory(file)
        if problem := _misfit(trajectory, stamps, files):
            problems.append(problem)
        else:
            trajectories.append(trajectory)
    if stamps is None:
        own = next((t for t in trajectories if t.stamps_ns is not None), None)
        stamps, source = _counted(len(files)), f"{RATE_HZ:g} Hz taken, as nothing tells the times"
        source += f" ({TIME_FILES[0]} with a time in seconds for each cloud would)"
        if own is not None and own.stamps_ns is not None:
            stamps, source = own.stamps_ns, f"stamps of {own.path.name}"
    order = np.argsort(stamps, kind="stable")
    mount = _mount(places)
    used = [_stamped(t, stamps) for t in trajectories]
    if mount is None:
        used = [_of_lidar(t, places) for t in used]
    about = [
        f"{len(files)} clouds {files[0].parent.name}/*{kind}"
        + (f" (float32 {' '.join(columns)})" if columns else ""),
        source,
        f"poses of {', '.join(f'{t.path.name} ({t.form})' for t in used) or 'none'}",
        "they are the LiDAR's own" if mount is None else f"mount of {MOUNT}",
    ]
    return CloudFolder(
        [files[i] for i in order],
        stamps[order],
        columns,
        used,
        mount,
        _labels(places, [files[i] for i in order]),
        "; ".join(about if used else about[:3]),
        "; ".join(problems),
    )


def _clouds(folder: Path) -> list[Path]:
    if folder.name == LABELS:
        return []
    return sorted((f for f in folder.iterdir() if suffix_of(f) and f.is_file()), key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """So that 10 comes after 9."""
    parts = re.split(r"(\d+)", stem_of(path))
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts]


def _only(suffixes: list[str], path: Path) -> str:
    if len(suffixes) > 1:
        raise KdmosError(f"{path} has clouds of several kinds: {', '.join(suffixes)}")
    return suffixes[0]


def _places(path: Path, folder: Path) -> list[Path]:
    """Folders where files that go with the clouds may lie, the nearest first."""
    places = [folder] if folder == path else [folder, path]
    if folder == path and not _pose_files(places):
        places.append(path.resolve().parent)
    return places


def _pose_files(places: Iterable[Path]) -> list[Path]:
    return [
        file
        for place in places
        for file in sorted(place.iterdir())
        if file.suffix.lower() in _POSE_SUFFIXES
        and file.name not in (CALIBRATION, MOUNT, *TIME_FILES)
        and trajectory_form(file)
    ]


def _beside(places: Iterable[Path], names: Iterable[str]) -> Path | None:
    candidates = (place / name for place in places for name in names)
    return next((path for path in candidates if path.exists()), None)


def _stamps(places: list[Path], files: list[Path]) -> tuple[Stamps | None, str]:
    stamps = stamps_of_names(files)
    source = "stamps of the files' names"
    if stamps is None and (path := _beside(places, TIME_FILES)) is not None:
        stamps, source = read_times(path), f"stamps of {path.name}"
        if len(stamps) != len(files):
            raise KdmosError(
                f"{path} has {len(stamps)} times, but there are {len(files)} clouds in"
                f" {files[0].parent}"
            )
    return stamps, source


def _counted(n: int) -> Stamps:
    return np.round(np.arange(n) * 1e9 / RATE_HZ).astype(np.int64)


def _misfit(trajectory: Trajectory, stamps: Stamps | None, files: list[Path]) -> str:
    """Why a file of poses does not go with the clouds; empty if it does."""
    own, path = trajectory.stamps_ns, trajectory.path
    if own is None or stamps is None:
        if len(trajectory.poses) == len(files):
            return ""
        return (
            f"{path} has {len(trajectory.poses)} poses, but there are {len(files)} clouds in"
            f" {files[0].parent}, and "
            + ("the poses have no stamps" if own is None else "the clouds' names are no times")
        )
    if ((own[0] <= stamps) & (stamps <= own[-1])).any():
        return ""
    first, last = stamps.min() * 1e-9, stamps.max() * 1e-9
    return (
        f"{path}: poses from {own[0] * 1e-9:.3f} to {own[-1] * 1e-9:.3f} s, but the clouds of"
        f" {files[0].parent} are from {first:.3f} to {last:.3f} s: two clocks?"
    )


def _stamped(trajectory: Trajectory, stamps: Stamps) -> Trajectory:
    return trajectory if trajectory.stamps_ns is not None else trajectory._replace(stamps_ns=stamps)


def _mount(places: list[Path]) -> Matrix | None:
    path = _beside(places, [MOUNT])
    if path is None:
        return None
    try:
        return parse_transform(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KdmosError(f"{path}: {error}: x y z roll pitch yaw (m, rad) is expected") from error


def _of_lidar(trajectory: Trajectory, places: list[Path]) -> Trajectory:
    """KITTI's poses are those of a camera where a calib.txt says where it is."""
    path = _beside(places, [CALIBRATION])
    if trajectory.form == "KITTI" and path is not None:
        camera_T_lidar = np.eye(4)
        calibration = read_calibration(path)
        if LIDAR_TO_CAMERA not in calibration:
            raise KdmosError(f"{path}: no line 'Tr:' with 12 numbers")
        camera_T_lidar[:3] = calibration[LIDAR_TO_CAMERA]
        lidar_T_camera = transforms.invert(camera_T_lidar)
        return trajectory._replace(poses=lidar_T_camera @ trajectory.poses @ camera_T_lidar)
    if trajectory.form == "KITTI" and _goes_along_z(trajectory.poses):
        raise KdmosError(
            f"{trajectory.path}: the poses go along their own z, as a camera's do: add a"
            f" {CALIBRATION} with its 'Tr:', or, if they are the LiDAR's, write them in TUM's"
            " format"
        )
    return trajectory


def _goes_along_z(poses: npt.NDArray[np.float64]) -> bool:
    steps = np.einsum("kji,kj->ki", poses[:-1, :3, :3], np.diff(poses[:, :3, 3], axis=0))
    way = float(np.linalg.norm(steps, axis=1).sum())
    return way > _FEW_M and float(np.abs(steps[:, 2]).sum()) > _MOST * way


def _labels(places: list[Path], files: list[Path]) -> list[Path]:
    folder = _beside(places, [LABELS])
    found = [folder / f"{stem_of(file)}.label" for file in files] if folder else []
    return found if found and all(file.is_file() for file in found) else []
