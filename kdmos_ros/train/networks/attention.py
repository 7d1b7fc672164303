"""Co-attention gate: lets the motion cue weigh the appearance branch (MotionBEV, RA-L 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdmos_ros.train.config.student_config import StudentConfig
from kdmos_ros.train.networks.blocks import ConvUnit, GridConv


class CoAttentionGate(nn.Module):
    """Global gates for both branches, then spatial attention by motion and channel attention.

    With appearance a (B, A, H, W) and motion m (B, N, H, W):

    1. gates (g_a, g_m) = mean over the map of sigmoid(conv(unit([a, m]))), one number each;
    2. s = sigmoid(1x1 conv of g_m m), one map;
    3. v = A * softmax(1x1 conv of the mean of s g_a a), one number a channel;
    4. result = g_a a (1 + s v).

    With `gate_pool` step 1 sees averages over squares of cells. With `gate_rings` the means of
    steps 1 and 3 are over these rings.
    """

    def __init__(self, n_appearance: int, n_motion: int, config: StudentConfig):
        super().__init__()
        wrap = config.padding == "each_layer"
        self.pool, self.rows = config.gate_pool, config.gate_rows
        self.fuse = ConvUnit(n_appearance + n_motion, config.gate_width, config)
        self.gates = GridConv(config.gate_width, 2, wrap=wrap, bias=True)
        self.spatial = nn.Conv2d(n_motion, 1, 1)
        self.channel = nn.Conv2d(n_appearance, n_appearance, 1)

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """Returns the appearance map, weighed; same shape."""
        # Pooled before they are joined: the joined map would be the largest of the network.
        size = math.gcd(self.pool, int(appearance.shape[2]), int(appearance.shape[3]))
        pooled = [F.avg_pool2d(x, size) if size > 1 else x for x in (appearance, motion)]
        fused = self.gates(self.fuse(torch.cat(pooled, dim=1)))
        # A plain mean: adaptive pooling is slower at inference and blocks constant shapes.
        fused = fused[:, :, self.rows(fused.shape[2])]
        gates = torch.sigmoid(fused).mean(dim=(2, 3), keepdim=True)
        gate_a, gate_m = gates[:, :1], gates[:, 1:]
        # The gate is one number a sample: applied to one channel after the 1x1 convolution it
        # gives the same as applied to all channels before.
        assert self.spatial.bias is not None
        cue = F.conv2d(motion, self.spatial.weight) * gate_m
        spatial = torch.sigmoid(cue + self.spatial.bias.view(1, 1, 1, 1))
        rows = self.rows(appearance.shape[2])
        lit = (appearance * spatial)[:, :, rows].mean(dim=(2, 3), keepdim=True) * gate_a
        channel = torch.softmax(self.channel(lit), dim=1) * (self.channel.out_channels * gate_a)
        return appearance * (spatial * channel + gate_a)
