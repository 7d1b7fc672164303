"""What the export replaces by faster layers gives the same maps, and can be undone."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from student_harness import calibrated, tiny  # noqa: E402
from torch import nn  # noqa: E402

from kdmos_ros.train.export import lean_layers  # noqa: E402
from kdmos_ros.train.export.int8_layers import for_int8  # noqa: E402
from kdmos_ros.train.export.onnx_export import export_student  # noqa: E402
from kdmos_ros.train.networks.attention import CoAttentionGate  # noqa: E402
from kdmos_ros.train.networks.upsample import DySample  # noqa: E402


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (7, 4)])
@pytest.mark.parametrize("spread", [0.01, 30.0])
def test_sampling_gathers_what_grid_sample_reads(size, spread):
    """Also far beyond the border, where the outermost pixels count."""
    torch.manual_seed(0)
    sample = DySample(8).requires_grad_(False)
    nn.init.normal_(sample.offset.weight, std=spread)
    x = torch.randn(1, 8, *size)
    torch.testing.assert_close(lean_layers._DySample(sample)(x), sample(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("rings", [None, (16, 48)])
def test_a_gate_weighs_alike(pool, rings):
    torch.manual_seed(0)
    config = tiny(n_rho=64, gate_pool=pool, gate_rings=rings)
    gate = CoAttentionGate(12, 8, config).eval().requires_grad_(False)
    appearance, motion = torch.randn(1, 12, 8, 8), torch.randn(1, 8, 8, 8)
    expected = gate(appearance, motion)
    assert expected.std() > 0.05
    torch.testing.assert_close(
        lean_layers._Gate(gate)(appearance, motion), expected, rtol=1e-5, atol=1e-5
    )


def test_layers_for_int8_give_the_same(tmp_path):
    """Split convolutions are joined again, and means are convolutions."""
    config = tiny(query_width=4, gate_pool=2)
    _, path = export_student(calibrated(config), tmp_path)
    model = onnx.load(path)
    convolutions, means = count(model, "Conv"), count(model, "AveragePool")
    for_int8(model)
    onnx.checker.check_model(model, full_check=True)
    assert means > 0 and count(model, "AveragePool") == 0
    assert count(model, "Conv") == convolutions + means - len(config.decoder_widths)
    rng = np.random.default_rng(0)
    feeds = {
        "appearance": rng.random((config.n_cells, config.n_appearance), np.float32),
        "motion": rng.random((9, config.n_motion), np.float32),
        "motion_row": rng.integers(0, 9, config.n_cells, np.int64),
        "cells": np.arange(0, config.n_cells, 7),
    }
    expected, joined = (
        ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, feeds
        )
        for m in (onnx.load(path), model)
    )
    for a, b in zip(joined, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())


def count(model, operator):
    return sum(node.op_type == operator for node in model.graph.node)
