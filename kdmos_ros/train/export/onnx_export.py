"""Writes a student's weights as the two ONNX graphs of a model folder.

The graphs hold nothing but inference: batch normalisations are folded into the layers before or
after them, shapes of the grid are constants, and only the number of points and of occupied cells
is open. The maximum per cell happens between the graphs (see `kdmos_ros.inference.engine`).
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from kdmos_ros.errors import ModelError
from kdmos_ros.train.export.lean_layers import make_lean
from kdmos_ros.train.networks.blocks import ConvUnit, GridConv
from kdmos_ros.train.networks.encoder import PointEncoder
from kdmos_ros.train.networks.student import Student

OPSET = 17
"""Has GridSample (16) and is read by ONNX Runtime 1.13+, its CUDA provider and TensorRT 10."""


def export_student(student: Student, folder: Path) -> tuple[Path, Path]:
    """Writes encoder.onnx and bev.onnx.

    encoder.onnx: point_features (points, F) float32 -> point_embedding (points, C) float32 >= 0.
    bev.onnx: appearance (H*W, C) float32, motion (rows, M) float32, motion_row (H*W,) int64,
    cells (occupied,) int64 -> logits (occupied, n_z, classes) float32. Maps are cell-major, without
    halo; that of motion is given by its different rows and by which of them each cell has.
    With queries also point_query (points, Q) and cell_key (occupied, Q) float32.

    Args:
        student: trained weights; not changed.
        folder: made if missing. Existing graphs are replaced only once both new ones are checked.

    Raises:
        ModelError: the student's encoder has no final ReLU, or an exported graph is invalid.
    """
    config = student.config
    if config.bottleneck is not None:
        raise ModelError(
            "a student with a bottleneck after the maximum per cell (as KDMOS's own) cannot be "
            "exported; end the encoder in ReLU (bottleneck: null)"
        )
    student = copy.deepcopy(student).cpu().float().eval().requires_grad_(False)
    folder.mkdir(parents=True, exist_ok=True)
    encoder, bev = folder / "encoder.onnx", folder / "bev.onnx"
    parts = [path.with_name(path.name + ".part") for path in (encoder, bev)]
    try:
        points = torch.zeros(2, config.n_point_features)
        asks = config.query_width > 0
        _export(
            PointGraph(student),
            (points,),
            parts[0],
            {"point_features": "points"},
            {"point_embedding": "points", **({"point_query": "points"} if asks else {})},
        )
        appearance = torch.zeros(config.n_cells, config.n_appearance)
        motion = torch.zeros(2, config.n_motion)
        row = torch.zeros(config.n_cells, dtype=torch.int64)
        _export(
            GridGraph(student),
            (appearance, motion, row, torch.zeros(2, dtype=torch.int64)),
            parts[1],
            {"appearance": None, "motion": "rows", "motion_row": None, "cells": "occupied"},
            {"logits": "occupied", **({"cell_key": "occupied"} if asks else {})},
        )
        for part, path in zip(parts, (encoder, bev), strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return encoder, bev


def folded_encoder(encoder: PointEncoder) -> nn.Sequential:
    """The encoder as Linear and ReLU layers only, equal in evaluation mode."""
    first, *rest = encoder.layers
    assert isinstance(first, nn.BatchNorm1d)
    layers: list[nn.Module] = []
    for module in rest:
        if isinstance(module, nn.BatchNorm1d):
            previous = layers.pop()
            assert isinstance(previous, nn.Linear)
            layers.append(fuse_linear_bn_eval(previous, module))
        else:
            layers.append(copy.deepcopy(module))
    linear = layers[0]
    assert isinstance(linear, nn.Linear)
    scale, shift = _affine(first)
    linear.bias.data += linear.weight.data @ shift
    linear.weight.data *= scale
    return nn.Sequential(*layers)


class PointGraph(nn.Sequential):
    """The student before the scatter, and what its points ask if they do."""

    def __init__(self, student: Student):
        super().__init__(*folded_encoder(student.encoder))
        if student.config.query_width:
            self.query = copy.deepcopy(student.query)

    def forward(self, points: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(P, F) -> (P, C), with queries (P, Q) too."""
        layers = [layer for name, layer in self.named_children() if name != "query"]
        for layer in layers[:-2]:  # the last two: Linear and ReLU
            points = layer(points)
        embedding = layers[-1](layers[-2](points))
        return (embedding, self.query(points)) if hasattr(self, "query") else embedding


class GridGraph(nn.Module):
    """The student behind the scatter, for one scan, with the head over the given cells only."""

    def __init__(self, student: Student):
        super().__init__()
        self.config = student.config
        self.bev = copy.deepcopy(student.bev)
        self.stem = _folded_stem(self.bev.stem)
        self.head = copy.deepcopy(student.head)
        self.key = copy.deepcopy(student.key) if self.config.query_width else None
        for unit in self.bev.modules():
            if isinstance(unit, ConvUnit):
                conv, norm, _ = unit
                assert isinstance(conv, GridConv) and isinstance(norm, nn.BatchNorm2d)
                conv.conv = fuse_conv_bn_eval(conv.conv, norm)
                unit[1] = nn.Identity()
        make_lean(self.bev)

    def forward(
        self, appearance: Tensor, motion: Tensor, motion_row: Tensor, cells: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(H*W, C), (R, M), (H*W,), (K,) -> (K, n_z, classes), with queries (K, Q) too."""
        config = self.config
        # Nine tenths of the map are zeros: the stem is worked out once for all of them.
        stem = self.stem(motion).index_select(0, motion_row)
        features = self.bev.wrapped(self._wrapped(appearance), self._wrapped(stem))
        rows = features.permute(0, 2, 3, 1).reshape(-1, config.decoder_widths[-1])
        if config.halo:  # where the cells are in maps with a halo
            ring = torch.div(cells, config.n_phi, rounding_mode="trunc")
            cells = cells + (ring * (2 * config.halo) + config.halo)
        rows = rows.index_select(0, cells)
        logits = self.head(rows).view(-1, config.n_z, config.n_classes)
        return logits if self.key is None else (logits, self.key(rows))

    def _wrapped(self, cells: Tensor) -> Tensor:
        """(H*W, C) -> (1, C, H, W + 2 halo).

        The halo is added while the channels are together, since that copies whole rows, and the
        transposition then is next to the first convolution, which runtimes merge it with.
        """
        config = self.config
        x = cells.view(1, config.n_rho, config.n_phi, -1)
        if config.halo:
            x = torch.cat((x[:, :, -config.halo :], x, x[:, :, : config.halo]), dim=2)
        return x.permute(0, 3, 1, 2)


def _folded_stem(stem: nn.Module) -> nn.Module:
    """The motion stem as a layer over cells: (H*W, M) -> (H*W, outputs)."""
    if not isinstance(stem, nn.Sequential):
        return nn.Identity()
    conv, norm, act = stem
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    fused = fuse_conv_bn_eval(conv, norm)
    assert fused.bias is not None
    linear = nn.Linear(fused.in_channels, fused.out_channels)
    linear.weight = nn.Parameter(fused.weight.flatten(1))
    linear.bias = nn.Parameter(fused.bias)
    return nn.Sequential(linear, act).requires_grad_(False)


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift that a batch normalisation applies in evaluation mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.data - norm.running_mean * scale


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: dict[str, str | None],
    outputs: dict[str, str | None],
) -> None:
    """Traces a module; the first axis of inputs and outputs with a name is left open."""
    import onnx  # here, so that training does not need it

    open_axes = {name: {0: axis} for name, axis in {**inputs, **outputs}.items() if axis}
    with _quiet(), torch.no_grad():
        # The tracing exporter: its graphs are plain, and the newer one rewrites bilinear look-ups
        # and needs another package.
        torch.onnx.export(
            module.eval(),
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=open_axes,
        )
    model = onnx.load(str(path))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path.stem}: the exported graph is invalid: {error}") from error


@contextlib.contextmanager
def _quiet(loggers: Sequence[str] = ("torch.onnx",)) -> Iterator[None]:
    """Mutes the exporter's notes about its age and about traced constants, which are meant."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
