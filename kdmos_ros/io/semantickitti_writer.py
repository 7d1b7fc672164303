"""Writes SemanticKITTI sequences and predictions; see io.semantickitti for the layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry import transforms
from kdmos_ros.io.atomic import new_folder
from kdmos_ros.io.calibration_file import LIDAR_TO_CAMERA, Calibration, write_calibration
from kdmos_ros.scan import Scan


class SequenceWriter:
    """Fills a sequence folder scan by scan; made by `new_sequence`."""

    def __init__(self, folder: Path, calibration: Calibration | None = None) -> None:
        self._folder = folder
        self._calibration = calibration or {LIDAR_TO_CAMERA: np.eye(4)[:3]}
        self._camera_T_lidar = np.eye(4)
        self._camera_T_lidar[:3] = self._calibration[LIDAR_TO_CAMERA]
        self._rows: list[str] = []
        self._stamps_ns: list[int] = []
        for name in ("velodyne", "labels"):
            (folder / name).mkdir()

    def add(self, scan: Scan, labels: npt.NDArray[np.uint32] | None = None) -> None:
        """Write a scan and, if given, its raw labels (N,) uint32. No intensity is written as 0."""
        name = f"{len(self._rows):06d}"
        rows = np.zeros((len(scan.points), 4), "<f4")
        rows[:, :3] = scan.points
        if scan.intensity is not None:
            rows[:, 3] = scan.intensity
        (self._folder / "velodyne" / f"{name}.bin").write_bytes(rows.tobytes())
        if labels is not None:
            _write_label(self._folder / "labels" / f"{name}.label", labels, len(rows))
        pose = self._camera_T_lidar @ scan.pose @ transforms.invert(self._camera_T_lidar)
        self._rows.append(" ".join(f"{v:.12g}" for v in pose[:3].ravel()))
        self._stamps_ns.append(scan.stamp_ns)

    def finish(self) -> None:
        """Write poses, calibration, and times from the first scan on."""
        # In integers: a stamp since 1970 as a float would be rounded to a quarter microsecond.
        since_start = (stamp - self._stamps_ns[0] for stamp in self._stamps_ns)
        times = [f"{t // 1_000_000_000}.{t % 1_000_000_000:09d}" for t in since_start]
        for name, lines in (("poses.txt", self._rows), ("times.txt", times)):
            (self._folder / name).write_text("".join(f"{line}\n" for line in lines))
        write_calibration(self._folder / "calib.txt", self._calibration)


@contextmanager
def new_sequence(
    folder: str | Path, calibration: Calibration | None = None
) -> Iterator[SequenceWriter]:
    """Write a sequence folder; it appears only when complete.

    Args:
        calibration: for calib.txt; it has "Tr". None: the camera is the LiDAR itself.

    Raises:
        KdmosError: the folder exists already or cannot be written.
    """
    with new_folder(folder) as scratch:
        writer = SequenceWriter(scratch, calibration)
        yield writer
        writer.finish()


class PredictionWriter:
    """Fills one predictions folder, one file a scan; made by `new_predictions`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, index: int | str, labels: npt.NDArray[np.uint32]) -> None:
        """Write raw labels (N,) uint32 of a scan, by number or by the name of its file."""
        name = index if isinstance(index, str) else f"{index:06d}"
        _write_label(self._folder / f"{name}.label", labels, len(labels))


@contextmanager
def new_predictions(root: str | Path, sequence: str) -> Iterator[PredictionWriter]:
    """Write ROOT/sequences/XX/predictions, the benchmark's submission layout.

    Raises:
        KdmosError: that folder exists already or cannot be written.
    """
    with new_folder(Path(root) / "sequences" / sequence / "predictions") as scratch:
        yield PredictionWriter(scratch)


def _write_label(path: Path, labels: npt.NDArray[np.uint32], n_points: int) -> None:
    if labels.shape != (n_points,):
        raise ValueError(f"labels must be ({n_points},), got {labels.shape}")
    path.write_bytes(labels.astype("<u4").tobytes())
