"""Drives to learn from, whatever their source: simulated, drive files, folders, bags.

Each is short enough to be read whole, and tells its size without being read, so that the stream of
training data can skip it (`train.stream`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.io.atomic import new_folder
from kdmos_ros.io.drive_file import LabelledDrive, load_drive, read_header, save_drive
from kdmos_ros.io.folder_sources import FolderSource
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.io.sources import SIMULATED, CachedDriveSource, folder_kind, open_sources
from kdmos_ros.train.config.data_recipe import DEFAULT_SPLITS, DataRecipe, SourceRecipe

Writer = Callable[[Source, SourceRecipe, DataRecipe, Path], None]
_SPLIT_KINDS = ("semantickitti", "helimos")


class TrainingDrive(Protocol):
    """One drive; must be small to pickle.

    Attributes:
        name: tells it from all other drives of a run; teacher logits are kept under it.
        weight: how often it comes in one pass over the data.
    """

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    def sizes(self) -> list[int]:
        """Points of each scan, or an upper bound that never changes; KdmosError as `load`."""

    def load(self) -> LabelledDrive:
        """Read it; KdmosError names a file that is missing or broken."""


@dataclass(frozen=True)
class StoredDrive:
    """A drive file."""

    path: Path
    weight: float = 1.0
    prefix: str = ""

    @property
    def name(self) -> str:
        return self.prefix + self.path.stem

    def sizes(self) -> list[int]:
        return read_header(self.path).sizes

    def load(self) -> LabelledDrive:
        return load_drive(self.path)


@dataclass(frozen=True)
class FolderDrive:
    """Some scans of a sequence folder, read from there whenever they are needed."""

    source: FolderSource
    scans: range
    base_T_sensor: npt.NDArray[np.float64]
    weight: float = 1.0
    prefix: str = ""

    @property
    def name(self) -> str:
        length = f"{len(self.scans)}x{self.scans.step}"
        return f"{self.prefix}{self.source.name}-{self.scans.start:06d}-{length}"

    def sizes(self) -> list[int]:
        return [self.source.sequence.size(index) for index in self.scans]

    def load(self) -> LabelledDrive:
        scans = [self.source.sample(index) for index in self.scans]
        return LabelledDrive(scans, self.base_T_sensor, "")


def recorded_drives(
    sources: Sequence[SourceRecipe], data: DataRecipe, folder: Path
) -> list[TrainingDrive]:
    """The drives of recorded sources, cut to the length that the recipe wants.

    Args:
        folder: gets drive files of what can only be read from start to end, such as bags.

    Raises:
        KdmosError: nothing there, no labels, a broken file, or two sources of one name.
    """
    drives: list[TrainingDrive] = []
    for recipe in sources:
        drives += _drives_of(recipe, data, folder)
    name, count = Counter(drive.name for drive in drives).most_common(1)[0] if drives else ("", 1)
    if count > 1:
        raise KdmosError(f"two drives are called {name}: give one of the sources another name")
    return drives


def _drives_of(recipe: SourceRecipe, data: DataRecipe, folder: Path) -> list[TrainingDrive]:
    prefix = f"{recipe.name or Path(recipe.path.replace(':', '_')).resolve().name}-"
    drives: list[TrainingDrive] = []
    for source in _open(recipe):
        if recipe.cast is not None:
            stored = _store(source, recipe, data, folder, _write_cast)
            drives += [StoredDrive(path, recipe.weight, prefix) for path in stored]
            continue
        if not source.labelled and not recipe.unlabelled:
            raise KdmosError(f"{source.where} has no labels to learn from")
        if isinstance(source, FolderSource):
            mount = make_transform(np.eye(3), [0, 0, recipe.height_m])
            drives += [
                FolderDrive(source, scans, mount, recipe.weight, prefix)
                for scans in cut(source.sequence.stamps_ns, data)
                if any(source.counts(index) for index in scans)
            ]
        elif isinstance(source, CachedDriveSource):
            drives.append(StoredDrive(Path(source.where), recipe.weight, prefix))
        else:
            stored = _store(source, recipe, data, folder, _write)
            drives += [StoredDrive(path, recipe.weight, prefix) for path in stored]
    return drives


def _open(recipe: SourceRecipe) -> list[Source]:
    splits = recipe.splits
    if splits == DEFAULT_SPLITS and recipe.dataset is None:
        # What is no data set has no splits; all of it counts.
        splits = splits if folder_kind(Path(recipe.path)) in _SPLIT_KINDS else ()
    simulated = recipe.path.startswith(SIMULATED)
    options = {"sensor": recipe.sensor} if recipe.sensor and simulated else {}
    labels = None if recipe.labels is None else Path(recipe.labels)
    return open_sources(
        recipe.path, recipe.dataset, splits, recipe.sequences, recipe.rate_hz, labels, **options
    )


def cut(stamps_ns: npt.NDArray[np.int64], data: DataRecipe) -> list[range]:
    """Pieces of data.scans scans about data.spacing_s apart; each scan is in exactly one.

    A sensor twice as fast as the spacing gives two pieces for each stretch of road. The last ones
    may be shorter.
    """
    step = _step(stamps_ns, data)
    n, stretch = len(stamps_ns), data.scans * step
    return [
        range(start + phase, min(start + stretch, n), step)
        for start in range(0, n, stretch)
        for phase in range(min(step, n - start))
    ]


def _step(stamps_ns: npt.NDArray[np.int64], data: DataRecipe) -> int:
    if len(stamps_ns) < 2:
        return 1
    return max(1, round(data.spacing_s * 1e9 / float(np.median(np.diff(stamps_ns)))))


def _store(
    source: Source, recipe: SourceRecipe, data: DataRecipe, folder: Path, write: Writer
) -> list[Path]:
    """Drive files of a source, made if they are not there yet."""
    wanted = json.dumps([asdict(recipe), data.scans, data.spacing_s], sort_keys=True)
    key = hashlib.blake2b(f"{source.where} {wanted}".encode(), digest_size=6).hexdigest()
    target = folder / f"{source.name.replace(':', '_')}-{key}"
    try:
        if not target.exists():
            with new_folder(target) as scratch:
                write(source, recipe, data, scratch)
    except KdmosError:
        if not target.exists():  # else another machine, with the same work folder, was faster
            raise
    return sorted(target.glob("*.npz"))


def _write(source: Source, recipe: SourceRecipe, data: DataRecipe, folder: Path) -> None:
    mount = source.base_T_sensor
    if mount is None:
        mount = make_transform(np.eye(3), [0, 0, recipe.height_m])
    for number, scans in enumerate(_pieces(source, data)):
        drive = LabelledDrive(scans, mount, source.sensor)
        save_drive(drive, folder / f"{source.name.replace(':', '_')}-{number:06d}.npz")


def _write_cast(source: Source, recipe: SourceRecipe, data: DataRecipe, folder: Path) -> None:
    from kdmos_ros.train.data.cast_drives import cast_drives

    assert recipe.cast is not None
    mount = source.base_T_sensor
    if mount is None:
        mount = make_transform(np.eye(3), [0, 0, recipe.height_m])
    name = source.name.replace(":", "_")
    sensor = recipe.sensor or source.sensor or "hdl64e"
    for number, scans in enumerate(_pieces(source, data)):
        made = cast_drives(scans, mount, recipe.cast, sensor, source.labelled, number)
        for variant, drive in enumerate(made):
            save_drive(drive, folder / f"{name}-{number:06d}-{variant:03d}.npz")


def _pieces(source: Source, data: DataRecipe) -> Iterator[list[LabelledScan]]:
    """As `cut`, while the source is read."""
    held: list[LabelledScan] = []
    stretch = 0
    for labelled in source:
        held.append(labelled)
        if stretch == 0 and len(held) >= max(2, data.scans):
            stretch = data.scans * _step(_stamps(held), data)
        if len(held) >= stretch > 0:
            yield from ([held[i] for i in piece] for piece in cut(_stamps(held), data))
            held = []
    yield from ([held[i] for i in piece] for piece in cut(_stamps(held), data))


def _stamps(scans: list[LabelledScan]) -> npt.NDArray[np.int64]:
    return np.array([labelled.scan.stamp_ns for labelled in scans], np.int64)
