"""The student network of KDMOS (arXiv 2506.14130), configurable, from points to point logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdmos_ros.labels import MOVING
from kdmos_ros.train.config.student_config import StudentConfig, reference_config, small_config
from kdmos_ros.train.networks.bevnet import BevNet
from kdmos_ros.train.networks.encoder import PointEncoder, cell_max

__all__ = [
    "Student",
    "StudentConfig",
    "count_macs",
    "count_parameters",
    "reference_config",
    "small_config",
]


class Student(nn.Module):
    """Point encoder, maximum per cell, grid network, and a head over the occupied cells.

    Cell of a point: sample * H * W + row * W + column, with H = n_rho and W = n_phi.
    """

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.config = config
        plain = config.bottleneck is not None
        self.encoder = PointEncoder(
            config.n_point_features, config.encoder_widths, plain_last=plain
        )
        self.bottleneck: nn.Linear | None = None
        if config.bottleneck is not None:
            self.bottleneck = nn.Linear(config.encoder_widths[-1], config.bottleneck)
        self.bev = BevNet(config)
        self.dropout = nn.Dropout(config.dropout)
        # The 1x1 convolution over the map, as a linear layer over the cells that need it.
        self.head = nn.Linear(config.decoder_widths[-1], config.n_z * config.n_classes)
        if config.query_width:
            self.query = nn.Linear(config.encoder_widths[-2], config.query_width)
            self.key = nn.Linear(config.decoder_widths[-1], config.query_width)
            # Points of a voxel begin alike, whatever they ask.
            nn.init.zeros_(self.key.weight)
            nn.init.zeros_(self.key.bias)

    def forward(
        self, point_features: Tensor, point_cell: Tensor, point_z: Tensor, motion: Tensor
    ) -> Tensor:
        """Logits of points.

        Args:
            point_features: (P, F) float32. Points outside the grid must be left out.
            point_cell: (P,) int64 in 0..B*H*W-1.
            point_z: (P,) int64 height bin in 0..n_z-1.
            motion: (B, H*W, M) float32, cell-major.

        Returns:
            (P, n_classes) float32: each point reads the logits of its cell and height bin, and adds
            the product of its query and its cell's key to that of MOVING.
        """
        config = self.config
        n_cells = motion.shape[0] * config.n_cells
        # A mask over the cells gives the occupied ones faster than sorting the points would.
        occupied = torch.zeros(n_cells, dtype=torch.bool, device=motion.device)
        occupied[point_cell] = True
        hidden, embedding = self.encoder.in_two(point_features)
        appearance = self._pooled(embedding, point_cell, occupied)
        features = self.cell_features(appearance, motion)
        cells = occupied.nonzero().squeeze(1)
        slot = torch.cumsum(occupied, 0) - 1
        rows = self.dropout(features.index_select(0, cells))
        logits = self.head(rows).view(-1, config.n_classes)
        point_slot = slot[point_cell]
        read = logits.index_select(0, point_slot * config.n_z + point_z)
        if not config.query_width:
            return read
        keys = self.key(rows).index_select(0, point_slot)
        product = (self.query(hidden) * keys).sum(1, keepdim=True)
        of_moving = torch.arange(config.n_classes, device=read.device) == MOVING
        return read + product * of_moving

    def appearance_map(self, points: Tensor, cells: Tensor, occupied: Tensor) -> Tensor:
        """(P, F), (P,), (B*H*W,) bool -> (B*H*W, n_appearance); 0 in empty cells."""
        return self._pooled(self.encoder(points), cells, occupied)

    def _pooled(self, embedding: Tensor, cells: Tensor, occupied: Tensor) -> Tensor:
        pooled = cell_max(embedding, cells, len(occupied))
        if self.bottleneck is None:
            return pooled
        return torch.relu(self.bottleneck(pooled)) * occupied[:, None]

    def cell_features(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """(B*H*W, n_appearance), (B, H*W, M) -> (B*H*W, decoder_widths[-1])."""
        batch, h, w = motion.shape[0], self.config.n_rho, self.config.n_phi
        # Cell-major is channels-last memory, which is also the fastest on CPUs: views only.
        a = appearance.view(batch, h, w, -1).permute(0, 3, 1, 2)
        m = motion.view(batch, h, w, -1).permute(0, 3, 1, 2)
        features = self.bev(a, m).permute(0, 2, 3, 1)
        return features.reshape(batch * h * w, -1)


@torch.no_grad()
def count_macs(student: Student, n_points: int) -> int:
    """Multiply-accumulates for one scan of n_points in the grid, spread over as many cells.

    Of convolutions and matrix products; everything else is small beside them.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes seconds to import

    config, like = student.config, next(student.parameters())
    cells = torch.arange(n_points, device=like.device) % config.n_cells
    points = like.new_zeros(n_points, config.n_point_features)
    motion = like.new_zeros(1, config.n_cells, config.n_motion)
    was_training = student.training
    student.eval()
    with FlopCounterMode(display=False) as counter:
        student(points, cells, torch.zeros_like(cells), motion)
    student.train(was_training)
    return int(counter.get_total_flops()) // 2


def count_parameters(module: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in module.parameters())
