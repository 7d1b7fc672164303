"""Labelled folders in the SemanticKITTI layout: SemanticKITTI-MOS, KITTI-road, HeLiMOS, Apollo.

SemanticKITTI-MOS: ROOT/sequences/XX with velodyne/, labels/, calib.txt, times.txt and poses.txt (or
ROOT/poses/XX.txt). Splits: Chen et al., RA-L 2021; KITTI-road: Sun et al. (MotionSeg3D), IROS 2022.
HeLiMOS (Lim et al., 2024): ROOT/SENSOR with velodyne/, labels/, calib.txt, poses.txt, and
ROOT/{train,val,test}.txt that list the scans of each split, the same for all four sensors.
Apollo (labels: Chen et al., RA-L 2022): as SemanticKITTI; scored on sequences 02 and 03, as by
4DMOS and MapMOS, whose readers also tell that 0 means static there.
Labels are read by the benchmark's own map (`labels.from_benchmark`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.io.semantickitti import Sequence
from kdmos_ros.labels import from_benchmark, instances_of
from kdmos_ros.semantickitti_ids import kinds_of

SEMANTICKITTI_SPLITS: dict[str, tuple[str, ...]] = {
    "train": tuple(f"{i:02d}" for i in (*range(8), 9, 10)),
    "val": ("08",),
    "test": tuple(f"{i:02d}" for i in range(11, 22)),
    "road-train": ("30", "31", "32", "33", "34", "40"),
    "road-val": ("35", "36", "37", "38", "39", "41"),
}
APOLLO_SPLITS: dict[str, tuple[str, ...]] = {"test": ("02", "03")}
HELIMOS_SENSORS = ("Aeva", "Avia", "Ouster", "Velodyne")
HELIMOS_SPLITS = ("train", "val", "test")
DEFAULT_RATE_HZ = 10.0
_STATIC_ID = np.uint32(9)


class FolderSource:
    """One sequence folder as a Source.

    Args:
        sequence: the folder's reader, which also tells stamps and sizes without reading scans.
        name: of the sequence.
        only: indices of scans whose labels count; the others are there for the history. None: all.
        zero_is_static: label 0 means static, not unlabelled.
        sensor: kind of LiDAR, if it is known.
    """

    base_T_sensor: npt.NDArray[np.float64] | None = None

    def __init__(
        self,
        sequence: Sequence,
        name: str,
        only: Collection[int] | None = None,
        zero_is_static: bool = False,
        sensor: str = "",
    ) -> None:
        self.sequence = sequence
        self._only = only
        self._zero_is_static = zero_is_static
        self.name, self.sensor = name, sensor
        self.where = str(sequence.folder)
        self.labelled = (sequence.folder / "labels").is_dir()

    def __len__(self) -> int:
        return len(self.sequence)

    def __iter__(self) -> Iterator[LabelledScan]:
        return (self.sample(index) for index in range(len(self)))

    def counts(self, index: int) -> bool:
        """Whether a scan has labels that count."""
        return self.labelled and (self._only is None or index in self._only)

    def sample(self, index: int) -> LabelledScan:
        """Any one of the scans."""
        scan = self.sequence.scan(index)
        n = len(scan.points)
        raw: npt.NDArray[np.uint32] = np.zeros(n, np.uint32)
        if self.counts(index):
            raw = self.sequence.labels(index, n)
            if self._zero_is_static:
                raw = np.where(raw & 0xFFFF == 0, _STATIC_ID, raw)
        name = f"{self.name}/{self.sequence.scan_name(index)}"
        instance = instances_of(raw)
        return LabelledScan(scan, from_benchmark(raw), kinds_of(raw), name, instance=instance)


def semantickitti(
    root: Path, splits: Collection[str], sequences: Collection[str], rate_hz: float | None
) -> list[Source]:
    """Sequences of ROOT, by number or by split (default: val)."""
    names = sequences or _of_splits(SEMANTICKITTI_SPLITS, splits or ("val",))
    return [FolderSource(_numbered(root, name, rate_hz), name) for name in names]


def apollo(
    root: Path, splits: Collection[str], sequences: Collection[str], rate_hz: float | None
) -> list[Source]:
    """Sequences of ROOT, by number or by split (default: test)."""
    names = sequences or _of_splits(APOLLO_SPLITS, splits or ("test",))
    return [
        FolderSource(_numbered(root, name, rate_hz), name, zero_is_static=True) for name in names
    ]


def helimos(
    root: Path, splits: Collection[str], sequences: Collection[str], rate_hz: float | None
) -> list[Source]:
    """Sensors of ROOT (default: all four), labels of the splits (default: val)."""
    root = next((f for f in (root, root / "Deskewed_LiDAR") if (f / "val.txt").exists()), root)
    unknown = [name for name in sequences if name not in HELIMOS_SENSORS]
    if unknown:
        raise KdmosError(f"HeLiMOS has no sensor {unknown[0]!r}: {', '.join(HELIMOS_SENSORS)}")
    unknown = [name for name in splits if name not in HELIMOS_SPLITS]
    if unknown:
        raise KdmosError(f"HeLiMOS has no split {unknown[0]!r}: {', '.join(HELIMOS_SPLITS)}")
    files = [root / f"{split}.txt" for split in splits or ("val",)]
    listed = {path: _scan_list(path) for path in files}
    sources: list[Source] = []
    for name in sequences or HELIMOS_SENSORS:
        sequence = _sequence(root / name, rate_hz)
        for path, indices in listed.items():
            if max(indices) >= len(sequence):
                raise KdmosError(
                    f"{path} lists scan {max(indices)}, but {root / name / 'velodyne'} has"
                    f" {len(sequence)} scans"
                )
        sources.append(FolderSource(sequence, name, set().union(*listed.values()), sensor=name))
    return sources


def single(folder: Path, rate_hz: float | None) -> list[Source]:
    """One sequence folder alone."""
    return [FolderSource(_sequence(folder, rate_hz), folder.resolve().name)]


def _of_splits(known: dict[str, tuple[str, ...]], splits: Collection[str]) -> list[str]:
    names: list[str] = []
    for split in splits:
        if split not in known:
            raise KdmosError(f"no split {split!r}; there are {', '.join(known)}")
        names += [name for name in known[split] if name not in names]
    return names


def _numbered(root: Path, name: str, rate_hz: float | None) -> Sequence:
    if not root.is_dir():
        raise KdmosError(f"no such folder: {root}")
    folder, outside = root / "sequences" / name, root / "poses" / f"{name}.txt"
    if not folder.is_dir():
        raise KdmosError(f"no such sequence: {folder}")
    inside = folder / "poses.txt"
    return _sequence(folder, rate_hz, outside if outside.exists() and not inside.exists() else None)


def _sequence(folder: Path, rate_hz: float | None, poses: Path | None = None) -> Sequence:
    if not folder.is_dir():
        raise KdmosError(f"no such sequence: {folder}")
    return Sequence(folder, rate_hz or DEFAULT_RATE_HZ, poses)


def _scan_list(path: Path) -> set[int]:
    """Scan numbers in a text file."""
    try:
        numbers = {int(word) for word in path.read_text(encoding="utf-8").split()}
    except OSError as error:
        raise KdmosError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise KdmosError(f"{path}: expected one scan number a line") from error
    if not numbers or min(numbers) < 0:
        raise KdmosError(f"{path}: expected one scan number a line")
    return numbers
