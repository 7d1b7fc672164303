"""How much a drive is changed before it is learned from."""

from __future__ import annotations

from dataclasses import dataclass


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
