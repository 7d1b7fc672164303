"""A wider student that starts out as the same function as a narrower, trained one.

Net2WiderNet (Chen, Goodfellow, Shlens, ICLR 2016): every channel is doubled, say, and what reads
it shares its weight out among the copies, by chance, so that they learn different things.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdmos_ros.errors import ModelError
from kdmos_ros.train.config import StudentConfig
from kdmos_ros.train.student import Student

# Bounds of what each copy draws, before the draws of one channel are made to add up to 1.
_SHARE = (0.25, 0.75)


def widened(narrow: Student, config: StudentConfig) -> Student:
    """A student of the given shape that gives the same logits as the narrow one.

    Draws from torch's random numbers.

    Args:
        narrow: the trained one.
        config: the same network with wider layers: each a whole multiple of the narrow one's.

    Raises:
        ModelError: a layer's size is no multiple, or the networks differ in their layers.
    """
    wide = Student(config)
    old, new = narrow.state_dict(), wide.state_dict()
    if old.keys() != new.keys():
        names = sorted(old.keys() ^ new.keys())
        raise ModelError(f"students of different layers cannot be widened: {names[0]}")
    wide.load_state_dict({name: _widened(name, old[name], new[name].shape) for name in old})
    return wide


def _widened(name: str, old: Tensor, shape: torch.Size) -> Tensor:
    if any(size % before for before, size in zip(old.shape, shape, strict=True)):
        raise ModelError(f"{name}: {tuple(old.shape)} cannot be widened to {tuple(shape)}")
    new = old
    if old.ndim > 0:
        # Neighbours, not all at the end: joined maps and DySample's groups keep their order.
        new = new.repeat_interleave(shape[0] // old.shape[0], dim=0)
    if old.ndim > 1:
        copies = shape[1] // old.shape[1]
        new = new.repeat_interleave(copies, dim=1) * _shares(len(new), old.shape[1], copies, new)
    if new.shape != shape:
        raise ModelError(f"{name}: {tuple(old.shape)} cannot be widened to {tuple(shape)}")
    return new


def _shares(outputs: int, inputs: int, copies: int, like: Tensor) -> Tensor:
    """(outputs, inputs * copies, 1 ...): positive, those of one input's copies add up to 1."""
    low, high = _SHARE
    shares = low + (high - low) * torch.rand(outputs, inputs, copies)
    shares = shares / shares.sum(dim=2, keepdim=True)
    return shares.view(outputs, inputs * copies, *(1 for _ in like.shape[2:])).to(like)
