"""The teacher: a sparse U-Net over the points of several scans, with time as a feature.

Not a projection: points of all scans of a window, moved into one frame by the poses, share
voxels. A small network encodes each point with its time; each voxel keeps the maximum over its
points, whatever their scan, so that it knows when it was occupied; sparse convolutions look at the
surroundings at several scales; the points of the newest scan read the result. In the family of
4DMOS (RA-L 2022) and the teacher of KDMOS (MambaMOS); voxels are shared by all times, which costs
several times less than a fourth dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdmos_ros.train.config.teacher_config import TeacherConfig
from kdmos_ros.train.networks.encoder import cell_max
from kdmos_ros.train.networks.sparse_convolution import (
    Level,
    RowNorm,
    SparseConv,
    make_levels,
    voxel_keys,
)

# Time is also given as bumps around these ages, so that the maximum over points of many times
# keeps which times there were. Seconds, from the future to the past.
_TIMES = (-1.6, -0.8, -0.4, -0.2, 0.0, 0.2, 0.4, 0.8, 1.6)


class _Block(nn.Module):
    """Residual block: two convolutions."""

    def __init__(self, width: int, kernel: str):
        super().__init__()
        self.first, self.second = (SparseConv(width, width, kernel) for _ in range(2))
        self.norm1, self.norm2 = RowNorm(width), RowNorm(width)

    def forward(self, x: Tensor, level: Level) -> Tensor:
        y = torch.relu(self.norm1(self.first(x, level.neighbours)))
        return torch.relu(x + self.norm2(self.second(y, level.neighbours)))


class _Mix(nn.Sequential):
    """Linear, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.Linear(inputs, outputs, bias=False), RowNorm(outputs), nn.ReLU())


class Teacher(nn.Module):
    """See the module. Rows may come in any order; the result does not depend on it."""

    times: Tensor

    def __init__(self, config: TeacherConfig):
        super().__init__()
        self.config = config
        inputs = 3 + 1 + len(_TIMES) + config.n_features
        width, kernel = config.point_width, config.kernel
        self.register_buffer("times", torch.tensor(_TIMES), persistent=False)
        self.encoder = nn.Sequential(RowNorm(inputs), _Mix(inputs, width), _Mix(width, width))
        self.entry = _Mix(width, config.widths[0])
        self.down = nn.ModuleList()
        self.across = nn.ModuleList()
        self.up = nn.ModuleList()
        for i, channels in enumerate(config.widths):
            self.across.append(
                nn.ModuleList(_Block(channels, kernel) for _ in range(config.blocks))
            )
            if i + 1 < len(config.widths):
                below = config.widths[i + 1]
                self.down.append(_Mix(channels, below))
                self.up.append(
                    nn.ModuleList([_Mix(channels + below, channels), _Block(channels, kernel)])
                )
        self.head = nn.Sequential(
            _Mix(config.widths[0] + width, config.widths[0]),
            nn.Linear(config.widths[0], config.n_classes),
        )

    def forward(
        self, points: Tensor, time: Tensor, features: Tensor, sample: Tensor | None = None
    ) -> Tensor:
        """Logits of the points of the newest scan.

        Args:
            points: (P, 3) float32, metres, all scans in the frame of the newest.
            time: (P,) float32 age of each point's scan, seconds: exactly 0 for the newest scan,
                the one to label; positive for past scans, negative for later ones.
            features: (P, F) float32.
            sample: (P,) int64 number of the sample in the batch; None: all are of one.

        Returns:
            (N, n_classes) float, for the rows with time 0, in their order.
        """
        if sample is None:
            sample = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        scaled = points / self.config.voxel_m
        cells = scaled.floor()
        levels, voxel = make_levels(
            voxel_keys(cells.long(), sample), len(self.config.widths), self.config.kernel
        )
        inputs = torch.cat((scaled - cells - 0.5, self._ages(time), features), dim=1)
        encoded = self.encoder(inputs)
        x = self.entry(cell_max(encoded, voxel, len(levels[0].keys)))
        x = self._unet(x, levels)
        newest = (time == 0).nonzero().squeeze(1)
        read = torch.cat((x.index_select(0, voxel[newest]), encoded[newest]), dim=1)
        return self.head(read)

    def _ages(self, time: Tensor) -> Tensor:
        """(P,) ages -> (P, 1 + bumps): points of a scan follow each other and share theirs."""
        ages, scan = torch.unique_consecutive(time, return_inverse=True)
        bumps = torch.exp(-(((ages[:, None] - self.times) / 0.1) ** 2))
        return torch.cat((ages[:, None], bumps), dim=1).index_select(0, scan)

    def _unet(self, x: Tensor, levels: list[Level]) -> Tensor:
        skips = []
        for i, level in enumerate(levels):
            blocks = self.across[i]
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                x = block(x, level)
            if level.parent is not None:
                skips.append(x)
                x = self.down[i](cell_max(x, level.parent, level.n_parents))
        for i in reversed(range(len(skips))):
            step, parent = self.up[i], levels[i].parent
            assert isinstance(step, nn.ModuleList) and parent is not None
            x = torch.cat((skips[i], x.index_select(0, parent)), dim=1)
            x = step[1](step[0](x), levels[i])
        return x
