"""What the teacher sees and its shape, as plain data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdmos_ros.features.range_image import FILL_ROWS
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.train.config.checking import STRICT, Count, NotNegative, Positive

TEACHER_FILE = "teacher.json"
"""In the folder of a trained teacher (`trained_teacher`)."""


@dataclass(frozen=True, config=STRICT)
class WindowSpec:
    """The scans around the labelled one that the teacher sees at once.

    Attributes:
        lags_s: ages of past scans, seconds; negative ones are scans of the future. The teacher
            only makes logits for training, so it may know what the student cannot yet see.
        look_lags_s: ages of more scans that points are compared with, without their own points
            being in the window: they cost little.
        range_m: points farther than this from the sensor, horizontally, are left out.
        margin_m, margin_per_m, pool_rows: of the see-through features, as in the student's
            (`visibility.VisibilitySpec`).
        ground_aligned: put all scans onto the ground of the labelled one, as the student's
            features (`ground_alignment`).
    """

    lags_s: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6)
    range_m: Positive = 52.0
    margin_m: NotNegative = 0.25
    margin_per_m: NotNegative = 0.012
    look_lags_s: tuple[float, ...] = ()
    pool_rows: Annotated[int, Field(ge=0, le=FILL_ROWS)] = 0
    ground_aligned: bool = False

    def __post_init__(self) -> None:
        lags = self.lags_s + self.look_lags_s
        if not self.lags_s or 0 in lags or len(set(lags)) != len(lags):
            raise ValueError(f"lags_s and look_lags_s must be different and not 0, got {lags}")

    @property
    def n_features(self) -> int:
        """Columns a point: rho, height, and near and far against each scan that is asked."""
        return 2 + 2 * (1 + len(self.lags_s) + len(self.look_lags_s))


@dataclass(frozen=True, config=STRICT)
class TeacherConfig:
    """Shape of the teacher: a U-Net of sparse convolutions over voxels of all its scans.

    Attributes:
        n_features: F, features of a point beside its place and time.
        voxel_m: side of the finest voxels, metres; each level below doubles it.
        point_width: width of the point encoder.
        widths: channels, finest level first.
        blocks: residual blocks of a level, on the way down.
        kernel: "cube", 27 neighbours, or "cross", the 7 that share a face.
        n_classes: classes.
    """

    n_features: Count
    voxel_m: Positive = 0.25
    point_width: Count = 32
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 48, 64, 96)
    blocks: Count = 1
    kernel: Literal["cube", "cross"] = "cube"
    n_classes: Count = len(CLASS_NAMES)
