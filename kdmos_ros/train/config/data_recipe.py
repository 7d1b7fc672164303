"""The part of a recipe that names the data: simulated drives, and sources of recorded ones."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt
from pydantic.dataclasses import dataclass

from kdmos_ros.sim.cast_plan import CastCounts
from kdmos_ros.train.config.checking import STRICT, Count, NotNegative, Positive, Share
from kdmos_ros.train.config.plain import with_tuples

# Of a data set, what is held out where this is learned from.
_HELD_OUT = {"train": "val", "road-train": "road-val"}
DEFAULT_SPLITS = ("train",)
# Seeds of simulated drives to validate on start here, far above any to learn from.
VALIDATION_SEED = 1_000_000


@dataclass(frozen=True, config=STRICT)
class CastRecipe:
    """Simulated participants cast into recorded drives; see `kdmos_ros.sim.casting`.

    Attributes:
        variants: drives made of each recorded one, each with others.
        first_seed: of the first variant, so that a later round has new ones.
        walkers, riders, vehicles, parked: see `kdmos_ros.sim.cast_plan.CastCounts`.
        hole_m: the ground is taken to go on for so far where nothing is seen of it. 6 or so for a
            sensor that stands still: it never sees the ground below.
    """

    variants: Count = 8
    first_seed: NonNegativeInt = 0
    walkers: NonNegativeInt = 10
    riders: NonNegativeInt = 3
    vehicles: NonNegativeInt = 3
    parked: NonNegativeInt = 6
    hole_m: NotNegative = 2.0

    @property
    def counts(self) -> CastCounts:
        """Participants of a drive."""
        return CastCounts(self.walkers, self.riders, self.vehicles, self.parked)


@dataclass(frozen=True, config=STRICT)
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
        sensor: of simulated drives; of those with `cast`, whose noise cast points have.
        cast: what is cast into its scans. Then it needs no labels: of the recording, only what is
            surely static counts. With labels of its own, such as a teacher's, these do.
        unlabelled: it may be without labels: only a teacher tells then what moves.
    """

    path: Annotated[str, Field(min_length=1)]
    name: str = ""
    weight: Positive = 1.0
    dataset: str | None = None
    splits: tuple[str, ...] = DEFAULT_SPLITS
    sequences: tuple[str, ...] = ()
    rate_hz: Positive | None = None
    labels: str | None = None
    height_m: Positive = 1.73
    sensor: str | None = None
    cast: CastRecipe | None = None
    unlabelled: bool = False

    def held_out(self) -> SourceRecipe | None:
        """The published counterpart to validate on, or None where there is none."""
        if self.cast is not None:
            return None
        if self.unlabelled or self.cast is not None:
            return None
        splits = tuple(_HELD_OUT[split] for split in self.splits if split in _HELD_OUT)
        return dataclasses.replace(self, splits=splits) if splits and not self.sequences else None


def _entry(value: Any) -> Any:
    """A path alone is a source, too."""
    if isinstance(value, str):
        return {"path": value}
    return with_tuples(value) if isinstance(value, dict) else value


Sources = tuple[Annotated[SourceRecipe, BeforeValidator(_entry)], ...]


@dataclass(frozen=True, config=STRICT)
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
        any_height: of simulated drives: share whose sensor sits anywhere from 0.3 to 2.5 m.
        leaning: share whose sensor is pitched by up to 90 degrees, on its side or upside down.
            Those held out have the usual mounts.
        cache: simulated drives are kept on disk; false: made anew whenever they are read.
        sources: recorded drives to learn from beside the simulated ones.
        validation: recorded drives held out; none: the published counterparts of the sources'
            splits. Simulated drives are held out beside them unless none are learned from.
    """

    drives: NonNegativeInt = 500
    validation_drives: NonNegativeInt = 40
    first_drive: NonNegativeInt = 0
    scans: Count = 11
    spacing_s: Positive = 0.2
    dense_start: NonNegativeInt = 0
    sensors: dict[str, NotNegative] = field(default_factory=lambda: {"hdl64e": 1.0})
    validation_sensors: dict[str, NotNegative] | None = None
    scenes: dict[str, NotNegative] | None = None
    validation_scenes: dict[str, NotNegative] | None = None
    seams: Share = 0.0
    deskewed: Share = 0.0
    any_height: Share = 0.0
    leaning: Share = 0.0
    cache: bool = True
    sources: Sources = ()
    validation: Sources = ()

    def __post_init__(self) -> None:
        if self.dense_start >= self.scans:
            raise ValueError("dense_start must be in 0..scans - 1")
        if self.first_drive > VALIDATION_SEED - self.drives:
            raise ValueError(f"first_drive + drives must be in 0..{VALIDATION_SEED}")

    def to_validate(self) -> DataRecipe:
        """The same for the simulated drives that are held out."""
        sensors = self.validation_sensors or self.sensors
        return dataclasses.replace(
            self, sensors=sensors, scenes=self.validation_scenes, seams=0.0, deskewed=0.0,
            any_height=0.0, leaning=0.0,
        )  # fmt: skip

    def only(self, paths: list[str]) -> DataRecipe:
        """The same with these sources instead of all others and of simulated drives."""
        sources = tuple(SourceRecipe(path) for path in paths)
        return dataclasses.replace(self, drives=0, sources=sources, validation=())

    def held_out(self) -> tuple[SourceRecipe, ...]:
        """Sources to validate on."""
        found = [source.held_out() for source in self.sources]
        return self.validation or tuple(source for source in found if source is not None)
