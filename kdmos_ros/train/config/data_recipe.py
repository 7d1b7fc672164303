"""The part of a recipe that names the data: simulated drives, and sources of recorded ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from kdmos_ros.train.config.plain import with_tuples

# Of a data set, what is held out where this is learned from.
_HELD_OUT = {"train": "val", "road-train": "road-val"}
DEFAULT_SPLITS = ("train",)
# Seeds of simulated drives to validate on start here, far above any to learn from.
VALIDATION_SEED = 1_000_000


@dataclass(frozen=True)
class SourceRecipe:
    """Drives that `io.sources.open_sources` opens.

    Attributes:
        path: a data set, sequence folder, bag, drive file or folder of these, or sim:FIRST-LAST.
        name: what its drives are called after, different for each source; empty: the path's last
            part.
        weight: how often each of its drives comes in one pass over all data; 0.5: in every other.
        dataset, splits, sequences, rate_hz: see `open_sources`.
        labels: of a bag: its folder of label files.
        height_m: of the sensor over the ground, where the data does not tell.
        sensor: of simulated drives.
    """

    path: str
    name: str = ""
    weight: float = 1.0
    dataset: str | None = None
    splits: tuple[str, ...] = DEFAULT_SPLITS
    sequences: tuple[str, ...] = ()
    rate_hz: float | None = None
    labels: str | None = None
    height_m: float = 1.73
    sensor: str | None = None

    def __post_init__(self) -> None:
        if not self.path or not isinstance(self.path, str):
            raise ValueError(f"data: a source needs a path, got {self.path!r}")
        if not self.weight > 0 or not self.height_m > 0:
            raise ValueError(f"data: weight and height_m of {self.path} must be above 0")

    def held_out(self) -> SourceRecipe | None:
        """The published counterpart to validate on, or None where there is none."""
        splits = tuple(_HELD_OUT[split] for split in self.splits if split in _HELD_OUT)
        return dataclasses.replace(self, splits=splits) if splits and not self.sequences else None


@dataclass(frozen=True)
class DataRecipe:
    """What is learned from.

    Attributes:
        drives, validation_drives: how many are simulated; the seeds of the two never meet.
        first_drive: seed of the first one to learn from, so that a later round has new ones.
        scans: scans a drive; each one is a sample, the first ones with a short history. Recorded
            drives are cut to this length, each of their scans in one of the pieces.
        spacing_s: time between two of them, the shortest lag.
        dense_start: of simulated drives: so many scans after the first come at half that spacing,
            so that starting up at twice the rate is learned too.
        sensors: of simulated drives: name in kdmos_ros.sim to its share.
        validation_sensors: of those held out, so that they can stay what they are; None: the same.
        scenes: of simulated drives: name in kdmos_ros.sim to its share; None: the usual mix.
        validation_scenes: of those held out; None: the usual mix.
        seams: of simulated drives with sweep distortion: share whose sweeps begin anywhere, at a
            place that wanders, and are stamped at their begin, middle or end.
        deskewed: share of the same whose points are moved to where the sensor would have seen
            them at the stamp. Those held out have neither.
        cache: simulated drives are kept on disk; false: made anew whenever they are read.
        sources: recorded drives to learn from beside the simulated ones.
        validation: recorded drives held out; none: the published counterparts of the sources'
            splits. Simulated drives are held out beside them unless none are learned from.
    """

    drives: int = 500
    validation_drives: int = 40
    first_drive: int = 0
    scans: int = 11
    spacing_s: float = 0.2
    dense_start: int = 0
    sensors: dict[str, float] = field(default_factory=lambda: {"hdl64e": 1.0})
    validation_sensors: dict[str, float] | None = None
    scenes: dict[str, float] | None = None
    validation_scenes: dict[str, float] | None = None
    seams: float = 0.0
    deskewed: float = 0.0
    cache: bool = True
    sources: tuple[SourceRecipe, ...] = ()
    validation: tuple[SourceRecipe, ...] = ()

    def __post_init__(self) -> None:
        if self.scans < 1 or not self.spacing_s > 0:
            raise ValueError("data: scans and spacing_s must be above 0")
        if not 0 <= self.dense_start < self.scans:
            raise ValueError("data: dense_start must be in 0..scans - 1")
        for name in ("seams", "deskewed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data: {name} must be in 0..1, got {getattr(self, name)}")
        if not isinstance(self.first_drive, int):
            raise ValueError(f"data: first_drive must be a whole number, got {self.first_drive!r}")
        if not 0 <= self.first_drive <= VALIDATION_SEED - self.drives:
            raise ValueError(f"data: first_drive + drives must be in 0..{VALIDATION_SEED}")

    @staticmethod
    def of(values: dict[str, Any]) -> DataRecipe:
        """From the entries of a recipe's file."""
        named = {k: _sources(values[k]) for k in ("sources", "validation") if k in values}
        return DataRecipe(**{**values, **named})

    def to_validate(self) -> DataRecipe:
        """The same for the simulated drives that are held out."""
        sensors = self.validation_sensors or self.sensors
        return dataclasses.replace(
            self, sensors=sensors, scenes=self.validation_scenes, seams=0.0, deskewed=0.0
        )

    def only(self, paths: list[str]) -> DataRecipe:
        """The same with these sources instead of all others and of simulated drives."""
        sources = tuple(SourceRecipe(path) for path in paths)
        return dataclasses.replace(self, drives=0, sources=sources, validation=())

    def held_out(self) -> tuple[SourceRecipe, ...]:
        """Sources to validate on."""
        found = [source.held_out() for source in self.sources]
        return self.validation or tuple(source for source in found if source is not None)


def _sources(entries: Any) -> tuple[SourceRecipe, ...]:
    if not isinstance(entries, list):
        raise ValueError("data: sources and validation must be lists")
    return tuple(
        SourceRecipe(entry) if isinstance(entry, str) else SourceRecipe(**with_tuples(entry))
        for entry in entries
    )
