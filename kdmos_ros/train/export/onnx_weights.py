"""A model folder's student, to train on with: the way back from `export`.

The graphs hold convolutions with their batch normalisations folded in. Here these become
normalisations that change nothing, and then, by `calibrated`, ones with the statistics of real
activations, without which training would start as another function than the model is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdmos_ros.errors import ModelError
from kdmos_ros.inference.model import GRAPHS, load_spec
from kdmos_ros.train.data.training_samples import Batch
from kdmos_ros.train.export.model_package import student_config
from kdmos_ros.train.networks.blocks import ConvUnit
from kdmos_ros.train.networks.student import Student

# A normalisation takes back whatever its layer's weights are multiplied by. Folded ones are small,
# 0.1 a row in deep layers, and an optimiser whose steps do not depend on the size of weights, as
# Adam's, writes something else over them within some tens of steps; those of long training are not.
_ROW_NORM = 2.0

_SPLIT = ".skip.weight"

_Norm = nn.modules.batchnorm._BatchNorm


def student_from_graphs(folder: Path) -> Student:
    """A student that gives the logits of a model's single-precision graphs, on the CPU.

    In evaluation mode; before it learns, see `calibrated`.

    Args:
        folder: of a model that `export` wrote.

    Raises:
        ModelError: the model cannot be used, or its graphs are not such ones.
    """
    student = Student(student_config(load_spec(folder)))
    values = {name: value for graph in GRAPHS for name, value in _weights(folder / graph)}
    state = student.state_dict()
    for name, module in student.named_modules():
        if isinstance(module, _Norm):
            state[f"{name}.weight"] = torch.ones_like(module.weight)
            state[f"{name}.bias"] = torch.zeros_like(module.bias)
            state[f"{name}.running_mean"] = torch.zeros_like(module.bias)
            state[f"{name}.running_var"] = torch.full_like(module.bias, 1 - module.eps)
    for graph_name, layer, norm in _folded(student):
        weight, bias = (values.pop(f"{graph_name}.{part}", None) for part in ("weight", "bias"))
        if weight is not None and bias is not None:
            larger = _enlargement(weight)
            values[f"{layer}.weight"] = weight * larger.view(-1, *(1 for _ in weight.shape[1:]))
            values[f"{norm}.weight"] = 1 / larger
            own = f"{layer}.bias" in state
            values[f"{layer if own else norm}.bias"] = bias * larger if own else bias
    for name, value in state.items():
        learned = values.get(name, value if _is_statistic(name, student) else None)
        if learned is None or learned.numel() != value.numel():
            raise ModelError(f"{folder}: its graphs do not give the student's {name}")
        state[name] = learned.reshape(value.shape)
    student.load_state_dict(state)
    return student.eval()


def _enlargement(weight: Tensor) -> Tensor:
    """(outputs,) factors of at least 1 that bring the rows of weights to _ROW_NORM."""
    norm = weight.flatten(1).norm(dim=1)
    return torch.where(norm > 0, (_ROW_NORM / norm).clamp(min=1), 1)


@torch.no_grad()
def calibrated(student: Student, batches: Iterable[Batch]) -> Student:
    """Gives each batch normalisation the statistics of its inputs; changes no logit.

    Args:
        student: changed in place, returned in evaluation mode.
        batches: what activations to measure on, such as the first ones of the training.
    """
    student.eval()
    norms = [module for module in student.modules() if isinstance(module, _Norm)]
    moments = [_Moments() for _ in norms]
    hooks = [
        norm.register_forward_pre_hook(seen.add) for norm, seen in zip(norms, moments, strict=True)
    ]
    try:
        for batch in batches:
            student(batch.point, batch.cell, batch.z_bin, batch.motion)
    finally:
        for hook in hooks:
            hook.remove()
    for norm, seen in zip(norms, moments, strict=True):
        if seen.n:
            _restate(norm, seen.mean, seen.variance)
    return student


class _Moments:
    """Mean and variance by channel of all that a layer was given, (C,) float64."""

    def __init__(self) -> None:
        self.n = 0
        self._sum = self._squares = torch.zeros(())

    def add(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1).double()
        self.n += values.shape[1]
        self._sum = self._sum + values.sum(1)
        self._squares = self._squares + values.square().sum(1)

    @property
    def mean(self) -> Tensor:
        return self._sum / self.n

    @property
    def variance(self) -> Tensor:
        return (self._squares / self.n - self.mean.square()).clamp(min=0)


def _restate(norm: _Norm, mean: Tensor, variance: Tensor) -> None:
    """Sets the statistics, and weight and bias so that the normalisation maps as before."""
    assert norm.running_mean is not None and norm.running_var is not None
    before = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = before * torch.sqrt(variance + norm.eps)
    norm.bias.copy_(norm.bias + before * (mean - norm.running_mean))
    norm.weight.copy_(weight)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _folded(student: Student) -> Iterator[tuple[str, str, str]]:
    """(its name in the graphs, layer, normalisation) of layers that the export folds."""
    layers = student.encoder.layers
    linear = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    for k, i in enumerate(linear):  # in the graph, one ReLU after each is all that is left
        yield f"{2 * k}", f"encoder.layers.{i}", f"encoder.layers.{i + 1}"
    if isinstance(student.bev.stem, nn.Sequential):
        yield "stem.0", "bev.stem.0", "bev.stem.1"
    for name, module in student.named_modules():
        if isinstance(module, ConvUnit):
            yield f"{name}.0.conv", f"{name}.0.conv", f"{name}.1"


def _weights(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and value of all that a graph has learned."""
    import onnx  # here, so that training does not need it

    graph = onnx.load(str(path)).graph
    values = {entry.name: _tensor(onnx.numpy_helper.to_array(entry)) for entry in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # one of several that are equal
            values[node.output[0]] = values[node.input[0]]
    _join_split(values)
    yield from values.items()
    # Added after a product, the bias of a gate's spatial attention is no longer the convolution's
    # own there, and in graphs of former versions it has lost its name.
    readers = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        bias = node.input[1].removesuffix("weight") + "bias" if node.op_type == "Conv" else ""
        if bias.endswith("spatial.bias") and bias not in values:
            added = readers[readers[node.output[0]].output[0]]
            for name in added.input:
                if name in values:
                    yield bias, values[name]


def _join_split(values: dict[str, Tensor]) -> None:
    """Give a convolution that the export has split (see `lean_layers`) the name that it had."""
    for name in [name for name in values if name.endswith(_SPLIT)]:
        layer = name.removesuffix(_SPLIT)
        parts = [values.pop(f"{layer}.{part}.weight") for part in ("skip", "up")]
        values[f"{layer}.conv.weight"] = torch.cat(parts, dim=1)
        values[f"{layer}.conv.bias"] = values.pop(f"{layer}.up.bias")


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values))  # a copy: the graph's own is read-only


def _is_statistic(name: str, student: Student) -> bool:
    """Whether an entry of the state belongs to a normalisation, which graphs do not have."""
    return isinstance(student.get_submodule(name.rpartition(".")[0]), _Norm)
