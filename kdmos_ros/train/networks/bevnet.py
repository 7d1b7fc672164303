"""Two-branch U-Net over the polar bird's-eye-view grid.

Source: MotionBEV (RA-L 2023); KDMOS (arXiv 2506.14130) replaced its upsamplers by DySample.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdmos_ros.train.config.student_config import StudentConfig
from kdmos_ros.train.networks.attention import CoAttentionGate
from kdmos_ros.train.networks.blocks import DoubleConv, Down, DropBlock, Entry, activation
from kdmos_ros.train.networks.upsample import make_upsample


class _Concatenate(nn.Module):
    """Stands in for the gate with attention off: the branches joined by one 1x1 convolution."""

    def __init__(self, n_appearance: int, n_motion: int):
        super().__init__()
        self.mix = nn.Conv2d(n_appearance + n_motion, n_appearance, 1)

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        return self.mix(torch.cat((appearance, motion), dim=1))


class Up(nn.Module):
    """One decoder step: double the map, join the skip connection, double convolution."""

    def __init__(self, kind: str, inputs: int, skip: int, outputs: int, config: StudentConfig):
        super().__init__()
        self.skip = skip
        self.up = make_upsample(kind, inputs)
        self.conv = DoubleConv(inputs + skip, outputs, config)
        self.drop = DropBlock(config.dropblock)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.drop(self.conv(torch.cat((skip, self.doubled(x, skip)), dim=1)))

    def doubled(self, x: Tensor, skip: Tensor) -> Tensor:
        """The map (B, C, h, w) at the size of the skip connection."""
        x = self.up(x)
        rows, columns = (int(a) - int(b) for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
        if rows or columns:  # a level of odd size lost its last row or column going down
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return x


class BevNet(nn.Module):
    """Maps of appearance and motion to a feature map of the same grid."""

    def __init__(self, config: StudentConfig):
        super().__init__()
        a, m = config.appearance_widths, config.motion_widths
        self.halo = config.halo
        self.appearance = nn.ModuleList([Entry(config.n_appearance, a[0], config)])
        self.stem = _stem(config)
        self.motion = nn.ModuleList([Entry(config.motion_stem or config.n_motion, m[0], config)])
        for upper, lower in itertools.pairwise(a):
            self.appearance.append(Down(upper, lower, config))
        for upper, lower in itertools.pairwise(m):
            self.motion.append(Down(upper, lower, config))
        self.join = nn.ModuleList(
            CoAttentionGate(n_a, n_m, config) if config.attention else _Concatenate(n_a, n_m)
            for n_a, n_m in zip(a, m, strict=False)
        )
        self.decoder = nn.ModuleList()
        inputs = a[-1]
        for kind, skip, outputs in zip(
            config.upsample, reversed(a[:-1]), config.decoder_widths, strict=True
        ):
            self.decoder.append(Up(kind, inputs, skip, outputs, config))
            inputs = outputs

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """(B, C_a, H, W) and (B, M, H, W) -> (B, decoder_widths[-1], H, W)."""
        x = self.wrapped(self._wrap(appearance), self._wrap(self.stem(motion)))
        return x[..., self.halo : x.shape[-1] - self.halo] if self.halo else x

    def wrapped(self, x: Tensor, m: Tensor) -> Tensor:
        """`forward` behind the stem, on maps with their halo; its result has one too."""
        skips = []
        for level, join in enumerate(self.join):
            m = self.motion[level](m)
            x = join(self.appearance[level](x), m)
            skips.append(x)
        x = self.appearance[-1](x)
        for step, skip in zip(self.decoder, reversed(skips), strict=True):
            x = step(x, skip)
        return x

    def _wrap(self, x: Tensor) -> Tensor:
        """Adds the halo: the azimuth wraps around once, here, and nowhere else."""
        if self.halo == 0:
            return x
        return torch.cat((x[..., -self.halo :], x, x[..., : self.halo]), dim=-1)


def _stem(config: StudentConfig) -> nn.Module:
    """1x1 convolution unit, or nothing."""
    if config.motion_stem is None:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(config.n_motion, config.motion_stem, 1, bias=config.conv_bias),
        nn.BatchNorm2d(config.motion_stem),
        activation(config),
    )
