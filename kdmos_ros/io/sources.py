"""The factory of labelled drives: folders, bags, simulated drives, all as `io.samples.Source`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError, ReasonedError
from kdmos_ros.io import argoverse, folder_sources, nuscenes
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.io.trajectory_file import TUM, trajectory_form
from kdmos_ros.labels import from_semantickitti, instances_of
from kdmos_ros.scan import Scan
from kdmos_ros.semantickitti_ids import kinds_of

if TYPE_CHECKING:
    from kdmos_ros.sim import Drive

Folders = Callable[[Path, Collection[str], Collection[str], "float | None"], list[Source]]
FOLDER_DATASETS: dict[str, Folders] = {
    "semantickitti": folder_sources.semantickitti,
    "helimos": folder_sources.helimos,
    "apollo": folder_sources.apollo,
    "argoverse2": argoverse.argoverse2,
    "nuscenes": nuscenes.nuscenes,
}
SIMULATED = "sim:"


class BagSource:
    """A rosbag2 as a Source: with labels of its own, of a folder of .label files, or without.

    Clouds that the odometry has no pose for are left out.

    Args:
        path: bag directory, .mcap or .db3 file.
        labels: folder of NNNNNN.label files; None: those in the bag, if any.
        options: cloud_topic, odom_topic, base_T_sensor of `BagReader`.
    """

    def __init__(self, path: Path, labels: Path | None = None, **options: Any) -> None:
        from kdmos_ros.io.bag_reader import BagReader

        self._path, self._labels, self._options = path, labels, options
        with BagReader(path, **options) as bag:
            self._n_scans = bag.n_scans
            self.base_T_sensor: npt.NDArray[np.float64] | None = bag.mount
            self.labelled = labels is not None or bag.has_ground_truth
        self.name, self.where, self.sensor = path.stem, str(path), ""

    def __len__(self) -> int:
        return self._n_scans

    def __iter__(self) -> Iterator[LabelledScan]:
        from contextlib import ExitStack

        from kdmos_ros.io.bag_reader import BagReader
        from kdmos_ros.io.ground_truth import BagLabels
        from kdmos_ros.io.semantickitti import LabelFolder
        from kdmos_ros.pointcloud.codec import decode

        with ExitStack() as stack:
            bag = stack.enter_context(BagReader(self._path, **self._options))
            truth: LabelFolder | BagLabels | None = None
            if self.labelled:
                truth = LabelFolder(self._labels) if self._labels else BagLabels(self._path)
                stack.enter_context(truth)
            for index, (stamp_ns, message) in enumerate(bag.clouds()):
                cloud = decode(message)
                n = len(cloud.points)
                raw = np.zeros(n, np.uint32) if truth is None else truth.read(index, stamp_ns, n)
                try:
                    pose = bag.poses.at(stamp_ns) @ bag.base_T_sensor
                except ReasonedError:
                    continue
                scan = Scan(cloud.points, cloud.intensity, stamp_ns, pose)
                yield LabelledScan(
                    scan,
                    from_semantickitti(raw),
                    kinds_of(raw),
                    f"{self.name}/{index:06d}",
                    instance=instances_of(raw),
                )


class SimulatedSource:
    """A simulated drive as a Source, made while it is read; see `sim.make_drive`."""

    labelled = True

    def __init__(self, seed: int, **options: Any) -> None:
        from kdmos_ros.sim import make_drive

        self._drive: Drive = make_drive(seed, **options)
        self.base_T_sensor: npt.NDArray[np.float64] | None = self._drive.base_T_sensor
        self.sensor = self._drive.sensor.name
        self.name = self.where = f"{SIMULATED}{seed}"

    def __len__(self) -> int:
        return len(self._drive)

    def __iter__(self) -> Iterator[LabelledScan]:
        drive = self._drive
        for index, frame in enumerate(drive):
            speeds = drive.world.speed_of_instance(float(drive.times[index])).astype(np.float32)
            yield LabelledScan(
                frame.scan,
                frame.labels,
                frame.kind,
                f"{self.name}/{index:06d}",
                speeds[frame.instance],
                frame.instance,
            )


class CachedDriveSource:
    """A simulated drive that was kept on disk (`kdmos train` does) as a Source."""

    labelled = True

    def __init__(self, path: Path) -> None:
        from kdmos_ros.io.drive_file import read_header

        header = read_header(path)  # no more: together they may be larger than the memory
        self._path, self._n_scans = path, len(header.sizes)
        self.base_T_sensor: npt.NDArray[np.float64] | None = header.base_T_sensor
        self.name, self.where, self.sensor = path.stem, str(path), header.sensor

    def __len__(self) -> int:
        return self._n_scans

    def __iter__(self) -> Iterator[LabelledScan]:
        from kdmos_ros.io.drive_file import load_drive

        yield from load_drive(self._path).scans


def open_sources(
    where: str | Path,
    dataset: str | None = None,
    splits: Collection[str] = (),
    sequences: Collection[str] = (),
    rate_hz: float | None = None,
    labels: Path | None = None,
    **options: Any,
) -> list[Source]:
    """The drives at a place.

    Args:
        where: root of a data set, one sequence folder, a bag, a drive_*.npz file, a folder of
            these, or "sim:SEED" or "sim:FIRST-LAST" for simulated drives.
        dataset: one of FOLDER_DATASETS; None: guessed from what is there, never apollo.
        splits, sequences: of a data set: names; sequences go before splits; default: its val.
        rate_hz: scan rate where files do not tell: of folders without times.txt, of simulation.
        labels: of a bag, see BagSource.
        options: to BagSource for bags, to `sim.make_drive` for simulated drives.

    Raises:
        KdmosError: nothing there, no such split or sequence, or a broken file; it is named.
    """
    text, path = str(where), Path(where)
    if dataset is not None:
        if dataset not in FOLDER_DATASETS:
            raise KdmosError(f"no data set {dataset!r}; there are {', '.join(FOLDER_DATASETS)}")
        return FOLDER_DATASETS[dataset](path, splits, sequences, rate_hz)
    if text.startswith(SIMULATED):
        rate = {} if rate_hz is None else {"rate_hz": rate_hz}
        return [SimulatedSource(seed, **rate, **options) for seed in _seeds(text)]
    kind = folder_kind(path)
    if kind in FOLDER_DATASETS:
        return FOLDER_DATASETS[kind](path, splits, sequences, rate_hz)
    if kind == "sequence":
        return folder_sources.single(path, rate_hz)
    if drives := drive_files(path):
        return [CachedDriveSource(drive) for drive in drives]
    return [BagSource(path, labels, **options)]


def drive_files(path: Path) -> list[Path]:
    """Drives that training has kept: the file itself, or those in a folder; none elsewhere."""
    if path.is_dir():
        return sorted(path.glob("drive_*.npz"))
    return [path] if path.suffix == ".npz" else []


def folder_kind(path: Path) -> str | None:
    """One of FOLDER_DATASETS, "sequence" (one alone), or None for what is no such folder."""
    if nuscenes.is_nuscenes(path):
        return "nuscenes"
    if (path / "sequences").is_dir():
        return "semantickitti"
    if any((f / "val.txt").is_file() for f in (path, path / "Deskewed_LiDAR")):
        return "helimos"
    if argoverse.is_argoverse(path):
        return "argoverse2"
    velodyne = path / "velodyne"
    known = velodyne.is_dir() and not any(velodyne.glob("*.p*"))
    return "sequence" if known and trajectory_form(path / "poses.txt") != TUM else None


def _seeds(text: str) -> range:
    first, dash, last = text.removeprefix(SIMULATED).partition("-")
    try:
        seeds = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise KdmosError(f"expected sim:SEED or sim:FIRST-LAST, got {text!r}")
    return seeds
