"""Random changes of drives, as a recipe has them; what they do is in `changes`.

Residuals are computed afterwards, from the changed scans and poses, by the code that the node runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kdmos_ros.geometry import make_transform
from kdmos_ros.history import MAX_LOOKAHEAD
from kdmos_ros.train.changes import (
    N_ELEVATIONS,
    allow_later,
    crop_range,
    disturb_poses,
    drop_beams,
    mirror,
    move_sensor,
    raise_mount,
    remove_intensity,
    remove_returns,
    scale,
    tilt_mount,
    tilt_rotation,
    turn_sensor,
)
from kdmos_ros.train.drive_file import LabelledDrive

Step = Callable[[LabelledDrive], LabelledDrive]


@dataclass(frozen=True)
class AugmentRecipe:
    """How much a drive is changed. A probability of 0 or a spread of 0 turns a change off.

    Attributes:
        mirror: probability of a mirrored world.
        turn: whether the sensor is turned about its z axis, by any angle.
        drop, drop_share: probability of losing returns, and the range of the share lost.
        mount_error_m: spread of the error of the mount's height.
        scale: the world's size is multiplied by a factor in 1 - scale .. 1 + scale.
        range_crop, range_crop_m: probability of a shorter range, and which.
        beam_drop, beam_drop_share: probability of losing whole beams, and the range of the share.
        shift_m: spreads of a shift of the sensor along its x, y and z (its height).
        tilt_deg: spread of the sensor's roll and pitch; the mount knows.
        mount_tilt_deg: spread of roll and pitch that the mount does not know.
        pose_noise_m, pose_noise_deg: spreads of each pose's error.
        no_intensity: probability of a sensor without intensity.
    """

    mirror: float = 0.5
    turn: bool = True
    drop: float = 0.2
    drop_share: tuple[float, float] = (0.02, 0.3)
    mount_error_m: float = 0.05
    scale: float = 0.0
    range_crop: float = 0.0
    range_crop_m: tuple[float, float] = (25.0, 60.0)
    beam_drop: float = 0.0
    beam_drop_share: tuple[float, float] = (0.2, 0.6)
    shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tilt_deg: float = 0.0
    mount_tilt_deg: float = 0.0
    pose_noise_m: float = 0.0
    pose_noise_deg: float = 0.0
    no_intensity: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mirror", "drop", "range_crop", "beam_drop", "no_intensity", "scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment: {name} must be in 0..1, got {getattr(self, name)}")
        for name in ("mount_error_m", "tilt_deg", "mount_tilt_deg", "pose_noise_m",
                     "pose_noise_deg"):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise ValueError(f"augment: {name} must not be negative")
        for name in ("drop_share", "range_crop_m", "beam_drop_share"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"augment: {name} must be a rising range, got {low}, {high}")
        if len(self.shift_m) != 3 or min(self.shift_m) < 0:
            raise ValueError("augment: shift_m must be three spreads")


def draw(
    counts: Sequence[int], rng: np.random.Generator, recipe: AugmentRecipe | None = None
) -> list[Step]:
    """Draw the changes of one drive, without its content.

    How many numbers are drawn depends on the arguments alone, so that a run which was stopped can
    go through its draws again without computing anything else.

    Args:
        counts: points of each scan.
    """
    recipe = recipe or AugmentRecipe()
    steps: list[Step] = []
    if rng.random() < recipe.mirror:
        steps.append(mirror)
    if recipe.turn:
        steps.append(partial(turn_sensor, angle=rng.uniform(-np.pi, np.pi)))
    if rng.random() < recipe.drop:
        share = rng.uniform(*recipe.drop_share)
        steps.append(partial(remove_returns, lost=[rng.random(n) < share for n in counts]))
    # The base's z = 0 is not exactly on the road: load, tyres, a wrong extrinsic.
    steps.append(partial(raise_mount, metres=rng.normal(0, 1) * recipe.mount_error_m))
    steps += _draw_sensor(rng, recipe)
    if recipe.pose_noise_m or recipe.pose_noise_deg:
        spread = [recipe.pose_noise_m] * 3 + [np.deg2rad(recipe.pose_noise_deg)] * 3
        steps.append(partial(disturb_poses, errors=rng.normal(0, 1, (len(counts), 6)) * spread))
    if recipe.no_intensity and rng.random() < recipe.no_intensity:
        steps.append(remove_intensity)
    return steps


def draw_later(counts: Sequence[int], rng: np.random.Generator) -> Step:
    """Draw how many later scans each scan of a drive may see, 0..MAX_LOOKAHEAD; as `draw`.

    A quarter of the scans sees none, one, two, or more each: short delays matter most, and beyond
    the last lag of a model more scans change nothing.
    """
    few, more = rng.integers(0, 4, len(counts)), rng.integers(3, MAX_LOOKAHEAD + 1, len(counts))
    return partial(allow_later, later=np.where(few < 3, few, more))


def _draw_sensor(rng: np.random.Generator, recipe: AugmentRecipe) -> list[Step]:
    steps: list[Step] = []
    if recipe.beam_drop and rng.random() < recipe.beam_drop:
        share = rng.uniform(*recipe.beam_drop_share)
        steps.append(partial(drop_beams, lost=rng.random(N_ELEVATIONS) < share))
    if recipe.range_crop and rng.random() < recipe.range_crop:
        steps.append(partial(crop_range, metres=rng.uniform(*recipe.range_crop_m)))
    if recipe.scale:
        steps.append(partial(scale, factor=rng.uniform(1 - recipe.scale, 1 + recipe.scale)))
    if recipe.tilt_deg or any(recipe.shift_m):
        shift = rng.normal(0, 1, 3) * recipe.shift_m
        roll, pitch = np.deg2rad(rng.normal(0, 1, 2) * recipe.tilt_deg)
        steps.append(
            partial(move_sensor, old_T_new=make_transform(tilt_rotation(roll, pitch), shift))
        )
    if recipe.mount_tilt_deg:
        roll, pitch = np.deg2rad(rng.normal(0, 1, 2) * recipe.mount_tilt_deg)
        steps.append(partial(tilt_mount, roll=roll, pitch=pitch))
    return steps


def augment(
    drive: LabelledDrive, rng: np.random.Generator, recipe: AugmentRecipe | None = None
) -> LabelledDrive:
    """A random view of a drive."""
    for step in draw([len(s.labels) for s in drive.scans], rng, recipe):
        drive = step(drive)
    return drive
