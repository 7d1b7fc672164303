"""Shape of the student network as plain data: no torch here, so that models are read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kdmos_ros.errors import ModelError

ACTIVATIONS = ("relu", "leaky_relu")
UPSAMPLERS = ("dysample", "bilinear", "transposed")
PADDINGS = ("halo", "each_layer")
DYSAMPLE_GROUPS = 4
_COUNTS = ("n_point_features", "n_motion", "n_rho", "n_phi", "n_z", "gate_width", "gate_pool")


@dataclasses.dataclass(frozen=True)
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
        motion_stem: outputs of a 1x1 convolution unit on the motion map before all others: fewer
            channels to carry at full resolution. None is KDMOS's.
        input_norm: batch normalisation of both maps before their first convolution.
        conv_bias: bias in convolutions that a batch normalisation follows (redundant; KDMOS's).
        padding: "halo" wraps the azimuth once at the input; "each_layer" at each convolution.
        dropblock: probability of DropBlock after each decoder step, in training.
        dropout: probability of dropout before the head, in training.
        unused_attention: also hold KDMOS's two attention blocks a gate that it never runs. They
            exist to compare parameter counts with the published code; leave this off.
    """

    n_point_features: int
    n_motion: int
    n_rho: int = 240
    n_phi: int = 192
    halo: int = 8
    n_z: int = 32
    n_classes: int = 4
    encoder_widths: tuple[int, ...] = (16, 32, 16)
    bottleneck: int | None = None
    appearance_widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    motion_widths: tuple[int, ...] = (8, 16, 32, 64)
    decoder_widths: tuple[int, ...] = (64, 32, 16, 16)
    upsample: tuple[str, ...] = ("dysample", "dysample", "bilinear", "bilinear")
    activation: str = "relu"
    attention: bool = True
    gate_width: int = 16
    gate_pool: int = 1
    motion_stem: int | None = None
    input_norm: bool = False
    conv_bias: bool = False
    padding: str = "halo"
    dropblock: float = 0.0
    dropout: float = 0.0
    unused_attention: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        self._check_numbers()
        self._check_levels()
        self._check_grid()

    @property
    def n_cells(self) -> int:
        """Cells of the grid without its halo."""
        return self.n_rho * self.n_phi

    @property
    def n_embedding(self) -> int:
        """Channels that are pooled per cell: outputs of the point encoder."""
        return self.encoder_widths[-1]

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
    def from_dict(cls, values: Mapping[str, Any]) -> StudentConfig:
        """Reads what `to_dict` wrote. Raises ModelError on unknown, missing or wrong entries."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"unknown student setting(s): {', '.join(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"wrong student settings: {error}") from error

    def _check_numbers(self) -> None:
        for name in _COUNTS:
            _require(_is_count(getattr(self, name)), name, getattr(self, name), "at least 1")
        _require(_is_count(self.n_classes, 2), "n_classes", self.n_classes, "at least 2")
        _require(_is_count(self.halo, 0), "halo", self.halo, "0 or more")
        for name in ("bottleneck", "motion_stem"):
            value = getattr(self, name)
            _require(value is None or _is_count(value), name, value, "None or >= 1")
        for name in ("encoder_widths", "appearance_widths", "motion_widths", "decoder_widths"):
            widths = getattr(self, name)
            good = isinstance(widths, tuple) and len(widths) > 0 and all(map(_is_count, widths))
            _require(good, name, widths, "positive whole numbers")
        for name in ("dropblock", "dropout"):
            p = getattr(self, name)
            good = isinstance(p, (int, float)) and 0.0 <= p < 1.0
            _require(good, name, p, "a probability in [0, 1)")
        for name in ("attention", "input_norm", "conv_bias", "unused_attention"):
            value = getattr(self, name)
            _require(isinstance(value, bool), name, value, "true or false")
        _require(self.activation in ACTIVATIONS, "activation", self.activation, f"{ACTIVATIONS}")
        _require(self.padding in PADDINGS, "padding", self.padding, f"{PADDINGS}")

    def _check_levels(self) -> None:
        steps = len(self.appearance_widths) - 1
        _require(steps >= 1, "appearance_widths", self.appearance_widths, "at least 2 levels")
        for name in ("motion_widths", "decoder_widths", "upsample"):
            value = getattr(self, name)
            good = isinstance(value, tuple) and len(value) == steps
            _require(good, name, value, f"{steps} entries, one a step")
        channels = (self.appearance_widths[-1], *self.decoder_widths)
        for kind, width in zip(self.upsample, channels, strict=False):
            _require(kind in UPSAMPLERS, "upsample", kind, f"one of {UPSAMPLERS}")
            if kind == "dysample":
                good = width % DYSAMPLE_GROUPS == 0
                _require(good, "upsample", f"dysample of {width}", "a multiple of 4 channels")

    def _check_grid(self) -> None:
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


def reference_config(*, upsample: str = "dysample", n_classes: int = 4) -> StudentConfig:
    """The student of KDMOS (arXiv 2506.14130): 4,031,366 parameters with DySample and 4 classes.

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
        unused_attention=True,
    )


def small_config(
    n_point_features: int,
    n_motion: int,
    *,
    width: float = 0.5,
    encoder_widths: tuple[int, ...] = (16, 32, 16),
    **settings: Any,
) -> StudentConfig:
    """The deployable student: KDMOS's network, slim encoder, halved grid, one halo, ReLU.

    DySample stays at the two deepest decoder steps, where it costs little; bilinear above.

    Args:
        width: factor on the channels of the reference (1.0 is KDMOS's own).
        settings: any other field of StudentConfig, such as n_rho, n_phi, halo, n_z.
    """

    def scaled(*widths: int) -> tuple[int, ...]:
        return tuple(max(4, round(channels * width / 4) * 4) for channels in widths)

    values: dict[str, Any] = {
        "appearance_widths": scaled(32, 64, 128, 256, 256),
        "motion_widths": scaled(16, 32, 64, 128),
        "decoder_widths": scaled(128, 64, 32, 32),
        "gate_width": scaled(32)[0],
    }
    values.update(settings)
    return StudentConfig(n_point_features, n_motion, encoder_widths=encoder_widths, **values)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _require(good: bool, name: str, value: Any, wanted: str) -> None:
    if not good:
        raise ModelError(f"student setting {name} is {value!r}, must be {wanted}")
