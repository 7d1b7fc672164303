"""Reads SemanticKITTI sequences: velodyne/*.bin, labels/*.label, poses.txt, calib.txt, times.txt.

Layout: http://www.semantic-kitti.org/dataset.html (Behley et al., ICCV 2019). poses.txt holds
camera poses, row-major 3x4; `Tr` in calib.txt moves LiDAR points into that camera's frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.closing import Closing
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry import transforms
from kdmos_ros.scan import Scan

_POINT_BYTES = 16


def read_label(path: Path, n_points: int) -> npt.NDArray[np.uint32]:
    """Raw labels (N,) uint32 of one scan.

    Raises:
        KdmosError: the file is missing, cut off, or made for another number of points.
    """
    raw = _read_bytes(path)
    if len(raw) != 4 * n_points:
        found = f"{len(raw) // 4} labels" if len(raw) % 4 == 0 else f"{len(raw)} bytes"
        raise KdmosError(f"{path}: {found}, but the scan has {n_points} points")
    return np.frombuffer(raw, "<u4").astype(np.uint32, copy=False)


class LabelFolder(Closing):
    """A folder of label files NNNNNN.label, one a scan, counted from 0.

    Raises:
        KdmosError: no such folder, or no label file in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise KdmosError(f"no such folder of labels: {self.folder}")
        self._count = sum(1 for _ in self.folder.glob("*.label"))
        if not self._count:
            raise KdmosError(f"no .label files in {self.folder}")

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Nothing is held open."""

    def path(self, index: int) -> Path:
        """Path of a scan's label file."""
        return self.folder / f"{index:06d}.label"

    def read(self, index: int, stamp_ns: int, n_points: int) -> npt.NDArray[np.uint32]:
        """Raw labels (N,) uint32 of scan `index`; raises as `read_label`."""
        return read_label(self.path(index), n_points)


class Sequence:
    """One sequence folder, read scan by scan.

    Args:
        folder: holds velodyne/, poses.txt, calib.txt and, optionally, times.txt and labels/.
        rate_hz: scan rate for folders without times.txt.
        poses: file of the poses, if it is not the folder's poses.txt.

    Raises:
        KdmosError: a file is missing, cut off, or of another length than the rest; it is named.
    """

    def __init__(
        self, folder: str | Path, rate_hz: float | None = None, poses: Path | None = None
    ) -> None:
        self.folder = Path(folder)
        self._poses_path = poses or self.folder / "poses.txt"
        self._scans = sorted((self.folder / "velodyne").glob("*.bin"))
        if not self._scans:
            raise KdmosError(f"no scans in {self.folder / 'velodyne'}")
        self._poses = self._read_poses()
        self._stamps_ns = self._read_stamps(rate_hz)

    def __len__(self) -> int:
        return len(self._scans)

    @property
    def stamps_ns(self) -> npt.NDArray[np.int64]:
        """Stamps (S,) of the scans."""
        return self._stamps_ns

    def size(self, index: int) -> int:
        """Points of a scan, without reading them."""
        path = self._scans[index]
        try:
            return path.stat().st_size // _POINT_BYTES
        except OSError as error:
            raise KdmosError(f"cannot read {path}: {error.strerror}") from error

    def scan(self, index: int) -> Scan:
        """One scan; its pose is in the LiDAR frame of the file's world origin."""
        path = self._scans[index]
        raw = _read_bytes(path)
        if len(raw) % _POINT_BYTES:
            raise KdmosError(f"{path} is cut off: {len(raw)} bytes, not a multiple of 16")
        rows = np.frombuffer(raw, "<f4").reshape(-1, 4)
        return Scan(
            np.ascontiguousarray(rows[:, :3]),
            np.ascontiguousarray(rows[:, 3]),
            int(self._stamps_ns[index]),
            self._poses[index],
        )

    def scan_name(self, index: int) -> str:
        """Name of a scan's file without its suffix, e.g. 000123."""
        return self._scans[index].stem

    def labels(self, index: int, n_points: int) -> npt.NDArray[np.uint32]:
        """Raw labels (N,) uint32 of a scan; raises as `read_label`."""
        name = self._scans[index].with_suffix(".label").name
        return read_label(self.folder / "labels" / name, n_points)

    def _read_poses(self) -> npt.NDArray[np.float64]:
        cameras = _read_table(self._poses_path, 12).reshape(-1, 3, 4)
        self._check_length(self._poses_path, len(cameras))
        camera_T_lidar = np.eye(4)
        camera_T_lidar[:3] = self._read_calibration()
        lidar_T_camera = transforms.invert(camera_T_lidar)
        poses = np.tile(np.eye(4), (len(cameras), 1, 1))
        poses[:, :3] = cameras
        return lidar_T_camera @ poses @ camera_T_lidar

    def _read_calibration(self) -> npt.NDArray[np.float64]:
        path = self.folder / "calib.txt"
        for line in _read_text(path).splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "Tr":
                try:
                    return np.array(numbers.split(), dtype=np.float64).reshape(3, 4)
                except ValueError:
                    break
        raise KdmosError(f"{path}: no line 'Tr:' with 12 numbers")

    def _read_stamps(self, rate_hz: float | None) -> npt.NDArray[np.int64]:
        path = self.folder / "times.txt"
        if not path.exists():
            if rate_hz is None:
                raise KdmosError(f"no {path}, and no scan rate given")
            return np.round(np.arange(len(self)) * 1e9 / rate_hz).astype(np.int64)
        times = _read_table(path, 1)[:, 0]
        self._check_length(path, len(times))
        stamps = np.round(times * 1e9).astype(np.int64)
        late = np.flatnonzero(np.diff(stamps) <= 0)
        if len(late):
            raise KdmosError(f"{path}: time {late[0] + 2} is not after the one before")
        return stamps

    def _check_length(self, path: Path, count: int) -> None:
        if count != len(self):
            raise KdmosError(f"{path}: {count} rows, but velodyne/ has {len(self)} scans")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KdmosError(f"cannot read {path}: {error.strerror}") from error


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise KdmosError(f"{path} is not a text file") from error


def _read_table(path: Path, columns: int) -> npt.NDArray[np.float64]:
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            raise KdmosError(f"{path}, line {number}: expected {columns} numbers")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, columns)
