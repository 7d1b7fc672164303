"""Convolution blocks of the grid network, and DropBlock."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdmos_ros.train.config.student_config import StudentConfig


def activation(config: StudentConfig) -> nn.Module:
    """The grid network's activation."""
    return nn.ReLU(inplace=True) if config.activation == "relu" else nn.LeakyReLU(inplace=True)


class GridConv(nn.Module):
    """3x3 convolution on a polar map (B, C, rho, azimuth), same size out.

    Rows are padded with zeros. Columns wrap around with padding "each_layer"; with "halo" the
    network's input has done so already and zeros are enough, which saves a copy a layer.
    """

    def __init__(self, inputs: int, outputs: int, *, wrap: bool, bias: bool):
        super().__init__()
        self.wrap = wrap
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=(1, 0 if wrap else 1), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.wrap:
            x = F.pad(x, (1, 1, 0, 0), mode="circular")
        return self.conv(x)


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, activation."""

    def __init__(self, inputs: int, outputs: int, config: StudentConfig):
        wrap = config.padding == "each_layer"
        super().__init__(
            GridConv(inputs, outputs, wrap=wrap, bias=config.conv_bias),
            nn.BatchNorm2d(outputs),
            activation(config),
        )


class DoubleConv(nn.Sequential):
    """Two convolution units."""

    def __init__(self, inputs: int, outputs: int, config: StudentConfig):
        super().__init__(ConvUnit(inputs, outputs, config), ConvUnit(outputs, outputs, config))


class Entry(nn.Sequential):
    """Level 0 of a branch: optional batch normalisation of the raw map, double convolution."""

    def __init__(self, inputs: int, outputs: int, config: StudentConfig):
        norm = [nn.BatchNorm2d(inputs)] if config.input_norm else []
        super().__init__(*norm, DoubleConv(inputs, outputs, config))


class Down(nn.Sequential):
    """One level down: 2x2 maximum, double convolution."""

    def __init__(self, inputs: int, outputs: int, config: StudentConfig):
        super().__init__(nn.MaxPool2d(2), DoubleConv(inputs, outputs, config))


class DropBlock(nn.Module):
    """Drops contiguous squares of all channels in training (DropBlock, NeurIPS 2018).

    Args:
        probability: share of the map to drop, about.
        size: side of a square in cells.
    """

    def __init__(self, probability: float, size: int = 7):
        super().__init__()
        self.probability = probability
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        rate = self.probability / self.size**2
        centres = (torch.rand(x.shape[0], 1, *x.shape[2:], device=x.device) < rate).float()
        kept = 1.0 - F.max_pool2d(centres, self.size, stride=1, padding=self.size // 2)
        # Rescaled so that the mean stays; a map dropped whole must not become infinite.
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1.0))).to(x.dtype)
