"""Three ways to double a map's resolution: learned sampling, bilinear, transposed convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdmos_ros.train.config.student_config import DYSAMPLE_GROUPS


class DySample(nn.Module):
    """Doubles a map by bilinear look-ups at learned places (DySample, ICCV 2023).

    The "linear, then pixel shuffle" form with a static scope of 0.25: a 1x1 convolution gives
    each of the four output pixels of an input pixel, for each channel group, a shift (x, y) in
    input pixels from where plain bilinear upsampling would look.

    Args:
        channels: a multiple of `groups`.
        groups: channel groups that share their shifts.
    """

    SCOPE = 0.25

    def __init__(self, channels: int, groups: int = DYSAMPLE_GROUPS):
        super().__init__()
        self.groups = groups
        self.offset = nn.Conv2d(channels, 2 * groups * 4, 1)
        # Almost plain bilinear at the start.
        nn.init.normal_(self.offset.weight, std=0.001)
        assert self.offset.bias is not None
        nn.init.zeros_(self.offset.bias)
        # Sub-pixel k = 2 * row + column looks a quarter pixel to either side of the centre.
        quarter = torch.tensor([-0.25, 0.25])
        x = quarter.repeat(2).repeat(groups)
        y = quarter.repeat_interleave(2).repeat(groups)
        self.register_buffer("start", torch.cat([x, y]).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        # Plain numbers, so that a traced graph holds constants and not shape arithmetic.
        batch, channels, height, width = (int(size) for size in x.shape)
        shift = self.offset(x) * self.SCOPE + self.start
        shift = F.pixel_shuffle(shift, 2).view(batch, 2, self.groups, 2 * height, 2 * width)
        # Centre of the input pixel that each output pixel belongs to, in grid_sample's -1..1.
        columns = _centres(width, x).view(1, 1, 1, -1)
        rows = _centres(height, x).view(1, 1, -1, 1)
        grid = torch.stack(
            (shift[:, 0] * (2.0 / width) + columns, shift[:, 1] * (2.0 / height) + rows), dim=-1
        )
        grid = grid.view(batch * self.groups, 2 * height, 2 * width, 2)
        parts = x.reshape(batch * self.groups, channels // self.groups, height, width)
        sampled = F.grid_sample(
            parts, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return sampled.view(batch, channels, 2 * height, 2 * width)


def _centres(size: int, like: Tensor) -> Tensor:
    """(2 size,) normalised centre of input pixel i, twice each."""
    centres = (torch.arange(size, device=like.device, dtype=like.dtype) * 2.0 + 1.0) / size - 1.0
    return centres.repeat_interleave(2)


class Bilinear(nn.Module):
    """Plain bilinear doubling, pixel centres aligned."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def make_upsample(kind: str, channels: int) -> nn.Module:
    """The module for one entry of StudentConfig.upsample."""
    if kind == "dysample":
        return DySample(channels)
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, channels, 2, stride=2)
    return Bilinear()
