"""Layers of the grid network as runtimes run them fastest: same weights, same values.

What is slow in the training's form, measured on ONNX Runtime's CPU kernels: channel and spatial
attention as products of broadcast maps (five passes over a map here become two, one of them a
matrix product), GridSample (one thread, one channel at a time), and the copy of a joined map.

Maps in graphs are of one scan: the batch is 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdmos_ros.train.networks.attention import CoAttentionGate
from kdmos_ros.train.networks.bevnet import BevNet, Up
from kdmos_ros.train.networks.blocks import ConvUnit, GridConv
from kdmos_ros.train.networks.upsample import DySample


def make_lean(bev: BevNet) -> None:
    """Replace layers of a network whose batch normalisations are folded, in place."""
    for module in list(bev.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, CoAttentionGate):
                setattr(module, name, _Gate(child))
            elif isinstance(child, DySample):
                setattr(module, name, _DySample(child))
    for i, step in enumerate(bev.decoder):
        assert isinstance(step, Up)
        if not _first_convolution(step).wrap:
            bev.decoder[i] = _SplitUp(step)


class _SplitUp(nn.Module):
    """See Up; the first convolution takes the maps one by one."""

    def __init__(self, step: Up):
        super().__init__()
        self.up, self.conv = step.up, step.conv  # their names lead `onnx_weights` to the weights
        self._doubled = step.doubled
        unit = self.conv[0]
        assert isinstance(unit, ConvUnit)
        unit[0] = SplitConv(_first_convolution(step), step.skip)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(1, C, h, w) and (1, S, H, W) -> (1, outputs, H, W)."""
        result: Tensor = self.conv((skip, self._doubled(x, skip)))
        return result


def _first_convolution(step: Up) -> GridConv:
    unit = step.conv[0]
    assert isinstance(unit, ConvUnit) and isinstance(unit[0], GridConv)
    return unit[0]


class SplitConv(nn.Module):
    """A convolution over two joined maps as the sum of one over each, so that none is copied.

    Args:
        joined: of the joined map, zeros around it.
        first: channels of the first map.
    """

    def __init__(self, joined: GridConv, first: int):
        super().__init__()
        conv = joined.conv
        self.skip = nn.Conv2d(first, conv.out_channels, 3, padding=1, bias=False)
        self.up = nn.Conv2d(conv.in_channels - first, conv.out_channels, 3, padding=1)
        assert conv.bias is not None and self.up.bias is not None
        self.skip.weight.data, self.up.weight.data = (
            part.clone() for part in conv.weight.data.split((first, self.up.in_channels), dim=1)
        )
        self.up.bias.data = conv.bias.data.clone()

    def forward(self, joined: tuple[Tensor, Tensor]) -> Tensor:
        """(1, first, H, W) and (1, rest, H, W) -> (1, outputs, H, W)."""
        skip, x = joined
        return self.skip(skip) + self.up(x)


class _Gate(nn.Module):
    """See CoAttentionGate; maps as rows of cells, and both attentions as one matrix product."""

    def __init__(self, gate: CoAttentionGate):
        super().__init__()
        self.pool, self.rows = gate.pool, gate.rows
        self.fuse, self.gates = gate.fuse, gate.gates
        self.spatial, self.channel = gate.spatial, gate.channel

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """(1, A, H, W), (1, N, H, W) -> (1, A, H, W)."""
        _, channels, rows, columns = (int(size) for size in appearance.shape)
        cells = rows * columns
        size = math.gcd(self.pool, rows, columns)
        pooled = [F.avg_pool2d(x, size) if size > 1 else x for x in (appearance, motion)]
        fused = self.gates(self.fuse(torch.cat(pooled, dim=1)))
        fused = fused[:, :, self.rows(rows // size)]
        gates = torch.sigmoid(fused).mean(dim=(2, 3))
        gate_a, gate_m = gates[:, :1], gates[:, 1:]
        assert self.spatial.bias is not None
        cue = F.conv2d(motion, self.spatial.weight).view(1, cells)
        spatial = torch.sigmoid(cue * gate_m + self.spatial.bias)
        flat = appearance.permute(0, 2, 3, 1).reshape(cells, channels)
        kept = self.rows(rows)
        first, last = kept.start * columns, kept.stop * columns
        counted = spatial
        if last - first < cells:  # zeros elsewhere: to cut the map of all channels would copy it
            counted = F.pad(spatial[:, first:last], (first, cells - last))
        lit = torch.matmul(counted, flat) * (gate_a / (last - first))
        channel = self.channel(lit.view(1, channels, 1, 1)).view(1, channels)
        channel = torch.softmax(channel, dim=1) * (channels * gate_a)
        weighed = flat * torch.addmm(gate_a, spatial.view(cells, 1), channel)
        return weighed.view(1, rows, columns, channels).permute(0, 3, 1, 2)


class _DySample(nn.Module):
    """See DySample; whole groups of channels are gathered, and the places are worked out once."""

    def __init__(self, dysample: DySample):
        super().__init__()
        self.groups, self.scope = dysample.groups, dysample.SCOPE
        self.offset, self.start = dysample.offset, dysample.start

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, C, 2H, 2W)."""
        _, channels, height, width = (int(size) for size in x.shape)
        groups = self.groups
        shift = F.pixel_shuffle(self.offset(x) * self.scope + self.start, 2)
        shift = shift.view(2, groups, 2 * height, 2 * width)
        column, along = _corner(shift[0], _pixels(width, x).view(1, 1, -1), width)
        row, down = _corner(shift[1], _pixels(height, x).view(1, -1, 1), height)
        # Rows of cells and groups: what is gathered lies together.
        place = (row.long() * width + column.long()).permute(1, 2, 0)
        place = (place * groups + torch.arange(groups, device=x.device)).reshape(-1)
        along, down = (part.permute(1, 2, 0).reshape(-1, 1) for part in (along, down))
        cells = x.permute(0, 2, 3, 1).reshape(height * width * groups, channels // groups)
        right, below = (groups * step for step in (min(1, width - 1), width * min(1, height - 1)))
        upper = _between(cells, place, right, along)
        lower = _between(cells, place + below, right, along) if below else upper
        sampled = upper + down * (lower - upper)
        return sampled.view(1, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _pixels(size: int, like: Tensor) -> Tensor:
    """(2 size,) the input pixel of each output pixel."""
    return torch.arange(size, device=like.device, dtype=like.dtype).repeat_interleave(2)


def _corner(shift: Tensor, pixel: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The first of the two pixels that a place lies between, and how far on it is, 0 to 1."""
    first = (torch.floor(shift) + pixel).clamp(0, max(size - 2, 0))
    return first, (shift + (pixel - first)).clamp(0, 1)


def _between(cells: Tensor, place: Tensor, step: int, share: Tensor) -> Tensor:
    """Rows at places, and those a step on, mixed."""
    here = cells.index_select(0, place)
    if not step:
        return here
    return here + share * (cells.index_select(0, place + step) - here)
