"""Point encoder: a small shared MLP a point, and its maximum over the points of each cell.

Source: MotionBEV (RA-L 2023) and KDMOS (arXiv 2506.14130), after PointNet and PolarNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


class PointEncoder(nn.Module):
    """BatchNorm, then Linear + BatchNorm + ReLU layers over points.

    Args:
        n_features: F, features of one point.
        widths: outputs of the layers.
        plain_last: the last layer is Linear only (KDMOS, whose ReLU comes after the maximum).
    """

    def __init__(self, n_features: int, widths: Sequence[int], *, plain_last: bool = False):
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(n_features)]
        inputs = n_features
        for i, outputs in enumerate(widths):
            if plain_last and i == len(widths) - 1:
                layers.append(nn.Linear(inputs, outputs))
            else:
                # The normalisation has a bias of its own, but a linear bias is free once folded
                # and KDMOS counts it.
                layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, points: Tensor) -> Tensor:
        """(P, F) float32 -> (P, widths[-1]) float32."""
        return self.in_two(points)[1]

    def in_two(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(P, F) -> what enters the last layer, (P, widths[-2] or F), and what leaves it."""
        last = max(i for i, layer in enumerate(self.layers) if isinstance(layer, nn.Linear))
        hidden = self.layers[:last](points)
        return hidden, self.layers[last:](hidden)


class _CellMax(torch.autograd.Function):
    """scatter_reduce(amax) with a lean backward; torch's own takes eight times as long on CPU."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, cells: Tensor, n_cells: int) -> Tensor:
        # An expanded index (stride 0) takes torch's fast path.
        index = cells[:, None].expand_as(values)
        result = values.new_zeros(n_cells, values.shape[1])
        result = result.scatter_reduce(0, index, values, "amax", include_self=False)
        ctx.save_for_backward(values, cells, result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, cells, result = ctx.saved_tensors
        wins = (values == result.index_select(0, cells)).to(gradient.dtype)
        # Points that tie share the gradient, as in torch.
        ties = torch.zeros_like(gradient).scatter_add_(0, cells[:, None].expand_as(wins), wins)
        return wins * (gradient / ties.clamp_(min=1)).index_select(0, cells), None, None


def cell_max(values: Tensor, cells: Tensor, n_cells: int) -> Tensor:
    """Maximum of each channel over the points of each cell; 0 where a cell has no point.

    Args:
        values: (P, C) float.
        cells: (P,) int64 in 0..n_cells-1.
        n_cells: rows of the result.

    Returns:
        (n_cells, C), cell-major.
    """
    return cast(Tensor, _CellMax.apply(values, cells, n_cells))  # type: ignore[no-untyped-call]
