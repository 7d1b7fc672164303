"""How much a drive is changed before it is learned from."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from kdmos_ros.train.config.checking import STRICT, NotNegative, Share


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if not span[0] <= span[1]:
        raise ValueError(f"must be a rising range, got {span[0]}, {span[1]}")
    return span


Range = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_rising)]


@dataclass(frozen=True, config=STRICT)
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

    mirror: Share = 0.5
    turn: bool = True
    drop: Share = 0.2
    drop_share: Range = (0.02, 0.3)
    mount_error_m: NotNegative = 0.05
    scale: Share = 0.0
    range_crop: Share = 0.0
    range_crop_m: Range = (25.0, 60.0)
    beam_drop: Share = 0.0
    beam_drop_share: Range = (0.2, 0.6)
    shift_m: tuple[NotNegative, NotNegative, NotNegative] = (0.0, 0.0, 0.0)
    tilt_deg: NotNegative = 0.0
    mount_tilt_deg: NotNegative = 0.0
    pose_noise_m: NotNegative = 0.0
    pose_noise_deg: NotNegative = 0.0
    no_intensity: Share = 0.0
