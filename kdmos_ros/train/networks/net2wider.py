"""A larger student that starts out as the same function as a smaller, trained one.

More channels by Net2WiderNet (Chen, Goodfellow, Shlens, ICLR 2016): every channel is doubled, say,
and what reads it shares its weight out among the copies, by chance, so that they learn different
things. More features: what is new has no weight at first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdmos_ros.errors import ModelError
from kdmos_ros.features.columns import motion_columns, point_columns
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.train.config.student_config import StudentConfig
from kdmos_ros.train.networks.student import Student

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
    state = {name: _widened(name, old[name], new[name].shape) for name in old}
    for name, module in wide.named_modules():
        if isinstance(module, nn.ConvTranspose2d):  # its weights are (inputs, outputs, ...)
            key = f"{name}.weight"
            shape = new[key].transpose(0, 1).shape
            state[key] = _widened(key, old[key].transpose(0, 1), shape).transpose(0, 1)
    wide.load_state_dict(state)
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


def extended(student: Student, before: FeatureSpec, after: FeatureSpec) -> Student:
    """A student of more features that gives the same logits as one of fewer, whatever they are.

    Args:
        student: the trained one, of the features `before`.
        after: the same features and others, in any order.

    Raises:
        ModelError: a feature is missing after, or the student has a norm before its motion branch.
    """
    config = student.config
    if config.input_norm:
        raise ModelError("a student with input_norm cannot be given more features")
    points = _places(point_columns(before), point_columns(after))
    motion = _places(motion_columns(before), motion_columns(after))
    larger = Student(
        dataclasses.replace(config, n_point_features=after.n_point, n_motion=after.n_motion)
    )
    first = "bev.motion.0.0.0.0.conv.weight" if config.motion_stem is None else "bev.stem.0.weight"
    state = student.state_dict()
    new = larger.state_dict()
    for name, value in state.items():
        if name.startswith("encoder.layers.0.") and value.ndim == 1:  # normalises the features
            new[name] = torch.full_like(new[name], name.endswith(("weight", "var")))
            new[name][points] = value
        elif name in ("encoder.layers.1.weight", first):
            new[name] = torch.zeros_like(new[name])
            new[name][:, points if name.startswith("encoder") else motion] = value
        else:
            new[name] = value
    larger.load_state_dict(new)
    return larger


def asking(student: Student, query_width: int) -> Student:
    """The same student with queries of a width; as their keys begin with zeros, logits stay.

    Draws from torch's random numbers.

    Raises:
        ModelError: it has queries of another width already.
    """
    config = dataclasses.replace(student.config, query_width=query_width)
    if student.config.query_width not in (0, query_width):
        raise ModelError(f"a student with queries of {student.config.query_width} cannot change it")
    larger = Student(config)
    larger.load_state_dict({**larger.state_dict(), **student.state_dict()})
    return larger


def _places(before: Sequence[str], after: Sequence[str]) -> list[int]:
    if missing := [name for name in before if name not in after]:
        raise ModelError(f"the new features lack {missing[0]!r}")
    return [after.index(name) for name in before]
