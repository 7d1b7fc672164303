"""A model folder's student, read back from its graphs to train on with."""

import dataclasses
import json

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
onnx = pytest.importorskip("onnx")

from student_harness import EXPORTABLE, calibrated, inputs, tiny  # noqa: E402

from kdmos_ros.errors import ModelError  # noqa: E402
from kdmos_ros.features.grid import PolarGrid  # noqa: E402
from kdmos_ros.inference.model import SPEC_FILE, ModelSpec, save_spec  # noqa: E402
from kdmos_ros.resources import share_dir  # noqa: E402
from kdmos_ros.train.data.training_samples import Batch  # noqa: E402
from kdmos_ros.train.export import onnx_weights  # noqa: E402
from kdmos_ros.train.export.model_package import write_model  # noqa: E402
from kdmos_ros.train.export.onnx_weights import student_from_graphs  # noqa: E402
from kdmos_ros.train.networks.blocks import ConvUnit  # noqa: E402


def model_of(config, folder):
    """A model folder of a random student of the configuration, sized for the default features."""
    spec = ModelSpec(name="tiny")
    grid = PolarGrid(n_rho=config.n_rho, n_phi=config.n_phi, n_z=config.n_z)
    n_point, n_motion = spec.features.n_point, spec.features.n_motion
    config = dataclasses.replace(config, n_point_features=n_point, n_motion=n_motion)
    student = calibrated(config)
    write_model(student, dataclasses.replace(spec, grid=grid), folder)
    return student


def units(student):
    return [module for module in student.modules() if isinstance(module, ConvUnit)]


def batch_of(config, **settings):
    point, cell, z_bin, motion = inputs(config, **settings)
    return Batch(point, cell, z_bin, motion, labels=torch.zeros(len(point), dtype=torch.int64))


def logits(student, batch):
    with torch.no_grad():
        return student(batch.point, batch.cell, batch.z_bin, batch.motion)


@pytest.mark.parametrize("config", EXPORTABLE.values(), ids=EXPORTABLE.keys())
def test_it_is_the_student_that_was_exported(config, tmp_path):
    student = model_of(config, tmp_path / "m")
    back = student_from_graphs(tmp_path / "m")
    assert back.config == student.config and not back.training
    batch = batch_of(student.config, n_points=300)
    expected = logits(student, batch)
    assert expected.std() > 0.05  # a faded signal would equal anything
    torch.testing.assert_close(logits(back, batch), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["deployed", "lean", "transposed"])
def test_calibrated_it_is_the_same_function_also_while_it_learns(name, tmp_path):
    student = model_of(EXPORTABLE[name], tmp_path / "m")
    batches = [batch_of(student.config, n_points=n, seed=n) for n in (300, 500)]
    back = onnx_weights.calibrated(student_from_graphs(tmp_path / "m"), batches)
    for batch in batches:
        torch.testing.assert_close(
            logits(back, batch), logits(student, batch), rtol=1e-3, atol=1e-3
        )

    def change(student):
        """How far training mode, which normalises by the batch, is from evaluation mode."""
        before = logits(student.eval(), batches[1])
        return (logits(student.train(), batches[1]) - before).abs().mean() / before.std()

    raw = student_from_graphs(tmp_path / "m")
    one = onnx_weights.calibrated(student_from_graphs(tmp_path / "m"), batches[1:])
    assert change(one) < 1e-2, "measured on this very batch"
    assert change(raw) > 0.2, "and that is what the measuring is for"


def test_weights_are_as_large_as_trained_ones(tmp_path):
    """Small ones, as they are in graphs, would be written over by the first steps of training."""
    student = model_of(tiny(), tmp_path / "m")
    back = student_from_graphs(tmp_path / "m")
    for unit in units(back):
        assert unit[0].conv.weight.flatten(1).norm(dim=1).min() > 1.99
    smallest = [u[0].conv.weight.flatten(1).norm(dim=1).min() for u in units(student)]
    assert min(smallest) < 1, "which not all of them were"


def test_a_shipped_model_can_be_read_back():
    student = student_from_graphs(share_dir() / "models" / "kdmos_s")
    batch = batch_of(student.config, n_points=2000)
    assert torch.isfinite(logits(student, batch)).all()


def test_graphs_of_another_make_are_refused(tmp_path):
    model_of(tiny(), tmp_path)
    graph = onnx.load(str(tmp_path / "bev.onnx"))
    for entry in [*graph.graph.initializer]:
        if entry.name == "head.bias":
            entry.name = "renamed"
    onnx.save(graph, str(tmp_path / "bev.onnx"))
    with pytest.raises(ModelError, match=r"bev\.onnx: damaged or replaced"):
        student_from_graphs(tmp_path)
    spec = ModelSpec.from_json((tmp_path / SPEC_FILE).read_text(), "")
    save_spec(spec, tmp_path)
    with pytest.raises(ModelError, match=r"do not give the student's head\.bias"):
        student_from_graphs(tmp_path)
    content = json.loads((tmp_path / SPEC_FILE).read_text())
    content["network"] = {}
    (tmp_path / SPEC_FILE).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="no student settings"):
        student_from_graphs(tmp_path)
