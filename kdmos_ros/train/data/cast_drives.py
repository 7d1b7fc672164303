"""Drives to learn from that are recorded but for the participants cast into them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.sim.casting import CastScan, Recording
from kdmos_ros.train.config.data_recipe import CastRecipe

# A shorter piece has no history worth learning from.
LEAST_SCANS = 4


def cast_drives(
    scans: list[LabelledScan], base_T_sensor: npt.NDArray[np.float64], recipe: CastRecipe,
    sensor: str, labelled: bool, number: int = 0,
) -> Iterator[LabelledDrive]:  # fmt: skip
    """Variants of one recorded piece; none of a piece that is too short.

    What the recording holds may be anything, also something that moves. So its points count as
    their labels say if it has any (a teacher's will do), else only where they are surely static
    (`RecordedPlace.surely_static`); the others are unlabelled.

    Args:
        sensor: name in kdmos_ros.sim whose noise the cast points have.
        labelled: whether the labels of the scans are known.
        number: of the piece; pieces of one recording have different participants.

    Raises:
        KdmosError: no such sensor, or no ground is seen that anything could stand on.
    """
    if len(scans) < LEAST_SCANS:
        return
    recording = Recording([s.scan for s in scans], base_T_sensor, sensor, recipe.hole_m)
    if not recording.place.ground.seen.any():
        raise KdmosError(
            f"{scans[0].name}: nothing can be cast, as no ground is seen within {recipe.hole_m:g} "
            "m of where the mount has it: check the sensor's height and tilt, or raise cast.hole_m"
        )
    if labelled:
        known = [s.labels for s in scans]
    else:
        known = [recording.place.surely_static(cloud) for cloud in recording.clouds]
    for variant in range(recipe.variants):
        seed = recipe.first_seed + variant + 100_000 * number
        _, cast = recording.cast(seed, recipe.counts)
        joined = [_join(s, c, k) for s, c, k in zip(scans, cast, known, strict=True)]
        yield LabelledDrive(joined, base_T_sensor, sensor)


def _join(recorded: LabelledScan, cast: CastScan, known: npt.NDArray[np.uint8]) -> LabelledScan:
    kept = cast.kept
    speed = np.zeros(len(kept), np.float32) if recorded.speed is None else recorded.speed[kept]
    return LabelledScan(
        cast.scan,
        np.concatenate([known[kept], cast.labels]),
        np.concatenate([recorded.kind[kept], cast.kind]),
        recorded.name,
        np.concatenate([speed, cast.speed]),
    )
