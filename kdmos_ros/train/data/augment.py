"""Random changes of drives, as a recipe has them; what they do is in `changes`.

Residuals are computed afterwards, from the changed scans and poses, by the code that the node runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from kdmos_ros.defaults import MAX_LOOKAHEAD
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.data.drive_transforms import (
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

Step = Callable[[LabelledDrive], LabelledDrive]


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
