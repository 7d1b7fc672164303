"""Shape of the student network as plain data: no torch here, so that models are read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt
from pydantic.dataclasses import dataclass

from kdmos_ros.errors import ModelError
from kdmos_ros.train.config.checking import STRICT, Count, checked

DYSAMPLE_GROUPS = 4
# In the files of models that were made before 0.2.0, always false.
_FORMER = ("unused_attention",)

Upsampler = Literal["dysample", "bilinear", "transposed"]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
Dropped = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class StudentConfig:
    """Everything that decides the shape of the student's parameters and of its graph.

    Level 0 is the full grid; each level below halves rows (range) and columns (azimuth).

    Attributes:
        n_point_features: F, features of one point.
        n_motion: M, motion channels of one cell.
        n_rho: H, rows of the polar grid.
        n_phi: W, columns of the polar grid, which wrap around.
        halo: columns copied from the other end on each side once, at the input (padding "halo").
        n_z: height bins of one cell in the output.
        n_classes: classes of one height bin.
        encoder_widths: outputs of the point encoder's layers.
        bottleneck: outputs of a linear layer + ReLU *after* the maximum per cell, as in KDMOS.
            None ends the encoder in ReLU instead: the maximum into zeros is then exact without
            a mask of occupied cells. Only encoders without a bottleneck can be exported.
        appearance_widths: channels of the appearance branch, level 0 first.
        motion_widths: channels of the motion branch, level 0 first; one level fewer.
        decoder_widths: channels after each decoder step, deepest first.
        upsample: how each decoder step doubles the resolution, deepest first.
        activation: "relu" or "leaky_relu" (in the grid network; the point encoder is ReLU).
        attention: whether co-attention gates join the branches; else they are concatenated.
        gate_width: inner channels of the co-attention gates.
        gate_pool: the gates' two numbers are means over the map; with 4, say, they are taken from
            maps averaged over 4x4 cells (fewer where a level's size is no multiple), a sixteenth
            of the work. 1 is KDMOS's.
        gate_rings: first ring, and the one after the last, that the gates' means are over, where a
            grid has got more rings than the weights were trained with: mostly empty ones would
            shift the means. None: all.
        motion_stem: outputs of a 1x1 convolution unit on the motion map before all others: fewer
            channels to carry at full resolution. None is KDMOS's.
        input_norm: batch normalisation of both maps before their first convolution.
        conv_bias: bias in convolutions that a batch normalisation follows (redundant; KDMOS's).
        padding: "halo" wraps the azimuth once at the input; "each_layer" at each convolution.
        dropblock: probability of DropBlock after each decoder step, in training.
        dropout: probability of dropout before the head, in training.
        query_width: numbers in the query of a point and in the key of a cell, whose product is
            added to the point's logit of MOVING: what a point alone knows reaches its label. 0:
            points of one voxel have one label.
    """

    n_point_features: Count
    n_motion: Count
    n_rho: Count = 240
    n_phi: Count = 192
    halo: NonNegativeInt = 8
    n_z: Count = 32
    n_classes: Annotated[int, Field(ge=2)] = 4
    encoder_widths: Widths = (16, 32, 16)
    bottleneck: Count | None = None
    appearance_widths: Widths = (16, 32, 64, 128, 128)
    motion_widths: Widths = (8, 16, 32, 64)
    decoder_widths: Widths = (64, 32, 16, 16)
    upsample: tuple[Upsampler, ...] = ("dysample", "dysample", "bilinear", "bilinear")
    activation: Literal["relu", "leaky_relu"] = "relu"
    attention: bool = True
    gate_width: Count = 16
    gate_pool: Count = 1
    gate_rings: tuple[NonNegativeInt, Count] | None = None
    motion_stem: Count | None = None
    input_norm: bool = False
    conv_bias: bool = False
    padding: Literal["halo", "each_layer"] = "halo"
    dropblock: Dropped = 0.0
    dropout: Dropped = 0.0
    query_width: NonNegativeInt = 0

    def __post_init__(self) -> None:
        self._check_levels()
        self._check_grid()

    @property
    def n_cells(self) -> int:
        """Cells of the grid without its halo."""
        return self.n_rho * self.n_phi

    @property
    def n_appearance(self) -> int:
        """Channels of the appearance map that enters the grid network."""
        return self.encoder_widths[-1] if self.bottleneck is None else self.bottleneck

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "student") -> StudentConfig:
        """Reads what `to_dict` wrote.

        Args:
            where: what to call the section in messages.

        Raises:
            ModelError: unknown, missing or wrong entries; names them.
        """
        known = {name: value for name, value in values.items() if name not in _FORMER}
        try:
            return checked(cls, known, where, more=("width",))
        except (TypeError, ValueError) as error:
            raise ModelError(str(error)) from error

    def _check_levels(self) -> None:
        asks = self.query_width > 0
        good = not asks or (self.bottleneck is None and len(self.encoder_widths) > 1)
        wanted = "0 for an encoder with a bottleneck, or of one layer"
        _require(good, "query_width", self.query_width, wanted)
        steps = len(self.appearance_widths) - 1
        _require(steps >= 1, "appearance_widths", self.appearance_widths, "at least 2 levels")
        for name in ("motion_widths", "decoder_widths", "upsample"):
            value = getattr(self, name)
            _require(len(value) == steps, name, value, f"{steps} entries, one a step")
        channels = (self.appearance_widths[-1], *self.decoder_widths)
        for kind, width in zip(self.upsample, channels, strict=False):
            if kind == "dysample":
                good = width % DYSAMPLE_GROUPS == 0
                _require(good, "upsample", f"dysample of {width}", "a multiple of 4 channels")

    def gate_rows(self, height: int) -> slice:
        """The rows, of a map with that many, that lie in gate_rings as a whole."""
        first, last = self.gate_rings or (0, self.n_rho)
        return slice(-(-first * height // self.n_rho), last * height // self.n_rho)

    def _check_grid(self) -> None:
        if self.gate_rings is not None:
            coarsest = self.n_rho // 2 ** (len(self.motion_widths) - 1) // self.gate_pool
            rows = self.gate_rows(max(coarsest, 1))
            good = self.gate_rings[1] <= self.n_rho and rows.start < rows.stop
            wanted = f"most of the rings from 0 to {self.n_rho}"
            _require(good, "gate_rings", self.gate_rings, wanted)
        factor = 2 ** (len(self.appearance_widths) - 1)
        if self.padding == "each_layer":
            _require(self.halo == 0, "halo", self.halo, "0 with padding 'each_layer'")
            good = min(self.n_rho, self.n_phi) >= factor
            _require(good, "n_rho, n_phi", (self.n_rho, self.n_phi), f"at least {factor}")
            return
        _require(self.n_rho % factor == 0, "n_rho", self.n_rho, f"a multiple of {factor}")
        columns = self.n_phi + 2 * self.halo
        _require(columns % factor == 0, "n_phi + 2 halo", columns, f"a multiple of {factor}")
        _require(self.halo <= self.n_phi, "halo", self.halo, "at most n_phi")


def reference_config(*, upsample: Upsampler = "dysample", n_classes: int = 4) -> StudentConfig:
    """The student of KDMOS (arXiv 2506.14130), with DySample and 4 classes.

    It has 4,025,854 parameters; the published code's 4,031,366 include 5,512 of attention blocks
    that it never runs.

    With `upsample="transposed"` it is the network of MotionBEV (RA-L 2023), its base.
    """
    return StudentConfig(
        n_point_features=9,
        n_motion=8,
        n_rho=480,
        n_phi=360,
        halo=0,
        n_z=32,
        n_classes=n_classes,
        encoder_widths=(32, 64, 128, 256),
        bottleneck=32,
        appearance_widths=(32, 64, 128, 256, 256),
        motion_widths=(16, 32, 64, 128),
        decoder_widths=(128, 64, 32, 32),
        upsample=(upsample,) * 4,
        activation="leaky_relu",
        gate_width=32,
        input_norm=True,
        conv_bias=True,
        padding="each_layer",
        dropblock=0.5,
        dropout=0.5,
    )


def small_config(
    n_point_features: int,
    n_motion: int,
    *,
    width: float = 0.5,
    where: str = "student",
    **settings: Any,
) -> StudentConfig:
    """The deployable student: KDMOS's network, slim encoder, halved grid, one halo, ReLU.

    DySample stays at the two deepest decoder steps, where it costs little; bilinear above.

    Args:
        width: factor on the channels of the reference (1.0 is KDMOS's own).
        where: what to call the settings in messages.
        settings: any other field of StudentConfig, such as n_rho, n_phi, halo, n_z.

    Raises:
        ModelError: a setting is unknown or cannot be; names it.
    """
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not width > 0:
        raise ModelError(f"{where}.width must be a number above 0, got {width!r}")

    def scaled(*widths: int) -> tuple[int, ...]:
        return tuple(max(4, round(channels * width / 4) * 4) for channels in widths)

    values: dict[str, Any] = {
        "n_point_features": n_point_features,
        "n_motion": n_motion,
        "appearance_widths": scaled(32, 64, 128, 256, 256),
        "motion_widths": scaled(16, 32, 64, 128),
        "decoder_widths": scaled(128, 64, 32, 32),
        "gate_width": scaled(32)[0],
    }
    return StudentConfig.from_dict({**values, **settings}, where)


def _require(good: bool, name: str, value: Any, wanted: str) -> None:
    if not good:
        raise ValueError(f"{name} is {value!r}, must be {wanted}")
