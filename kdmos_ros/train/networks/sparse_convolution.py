"""Sparse convolutions over occupied voxels in plain torch, on CPUs and GPUs.

A submanifold convolution gathers each voxel's neighbours side by side and multiplies once. Its
neighbourhood is symmetric, so the gradient of the input is a convolution too: gathers only, where
autograd would scatter, which is several times slower on CPUs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Voxel coordinates fit 16 bits, which at 0.1 m are 6.5 km.
_BITS = 16
_HALF = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1


def offsets(kernel: str) -> list[tuple[int, int, int]]:
    """Neighbours of a voxel, itself among them; entry k is minus entry K - 1 - k."""
    steps = (-1, 0, 1)
    cube = list(itertools.product(steps, steps, steps))
    return cube if kernel == "cube" else [o for o in cube if sum(map(abs, o)) <= 1]


def voxel_keys(cells: Tensor, sample: Tensor) -> Tensor:
    """(P, 3) int64 voxel coordinates and (P,) int64 sample numbers -> (P,) int64 keys."""
    x, y, z = (cells.clamp(-_HALF + 1, _HALF - 2) + _HALF).unbind(1)
    return ((sample << _BITS | x) << _BITS | y) << _BITS | z


@dataclass(frozen=True)
class Level:
    """Voxels of one resolution.

    Attributes:
        keys: (V,) int64, rising.
        neighbours: (V, K) int64 rows of the voxels around each; V where there is none.
        parent: (V,) int64 row in the next coarser level, None on the coarsest.
        n_parents: voxels there.
    """

    keys: Tensor
    neighbours: Tensor
    parent: Tensor | None
    n_parents: int


def make_levels(keys: Tensor, n_levels: int, kernel: str) -> tuple[list[Level], Tensor]:
    """Voxels of (P,) point keys at n_levels resolutions, and each point's finest voxel (P,)."""
    keys, voxel_of_point = torch.unique(keys, return_inverse=True)
    levels = []
    for i in range(n_levels):
        near = _neighbours(keys, kernel)
        if i == n_levels - 1:
            levels.append(Level(keys, near, None, 0))
            break
        coarse, parent = torch.unique(_coarser(keys), return_inverse=True)
        levels.append(Level(keys, near, parent, len(coarse)))
        keys = coarse
    return levels, voxel_of_point


def _coarser(keys: Tensor) -> Tensor:
    """Keys of the voxels twice as large. The middle of the range stays the middle."""
    z, y, x, sample = (keys >> (_BITS * i) for i in range(4))

    def half(value: Tensor) -> Tensor:
        return ((value & _MASK) + _HALF) >> 1

    return ((sample << _BITS | half(x)) << _BITS | half(y)) << _BITS | half(z)


def _neighbours(keys: Tensor, kernel: str) -> Tensor:
    """(V, K) int64: half of them are looked for, for the others see m from n, not n from m."""
    steps = [((dx << _BITS) + dy << _BITS) + dz for dx, dy, dz in offsets(kernel)]
    n, half = len(keys), len(steps) // 2
    near = torch.full((len(steps), n), n, dtype=torch.int64, device=keys.device)
    near[half] = own = torch.arange(n, device=keys.device)
    if n == 0:
        return near.T
    for k, step in enumerate(steps[:half]):
        wanted = keys + step
        row = torch.searchsorted(keys, wanted).clamp_(max=n - 1)
        found = keys[row] == wanted
        near[k] = torch.where(found, row, n)
        near[len(steps) - 1 - k, row[found]] = own[found]
    return near.T.contiguous()


class _Convolve(torch.autograd.Function):
    """x (V, A), neighbours (V, K), weight (K, A, B) -> (V, B)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbours: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, neighbours, weight)
        return _gather(x, neighbours) @ weight.flatten(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, neighbours, weight = ctx.saved_tensors
        to_x = None
        if ctx.needs_input_grad[0]:
            # Voxel n is neighbour k of m where m is neighbour K - 1 - k of n.
            back = weight.flip(0).transpose(1, 2)
            to_x = _gather(gradient, neighbours) @ back.flatten(0, 1)
        to_weight = _gather(x, neighbours).T @ gradient
        return to_x, None, to_weight.view_as(weight)


def _gather(x: Tensor, neighbours: Tensor) -> Tensor:
    """(V, A), (V, K) -> (V, K * A); zeros where there is no neighbour."""
    padded = F.pad(x, (0, 0, 0, 1))
    rows = padded.index_select(0, neighbours.flatten())
    return rows.view(len(neighbours), neighbours.shape[1] * x.shape[1])


class SparseConv(nn.Module):
    """Submanifold convolution of 3 x 3 x 3 or fewer neighbours, without bias."""

    def __init__(self, inputs: int, outputs: int, kernel: str):
        super().__init__()
        size = len(offsets(kernel))
        # About half of the neighbours are empty, or more.
        self.weight = nn.Parameter(torch.randn(size, inputs, outputs) * (4 / size / inputs) ** 0.5)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """(V, inputs), (V, K) -> (V, outputs)."""
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        return cast(Tensor, _Convolve.apply(x, neighbours, weight))  # type: ignore[no-untyped-call]


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation of rows (V, C) that also takes none or one."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return (x - self.running_mean) * scale + self.bias
