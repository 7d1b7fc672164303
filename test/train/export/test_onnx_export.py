"""ONNX graphs equal the torch student; model folders are made whole or not at all."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from student_harness import EXPORTABLE, calibrated, inputs, tiny  # noqa: E402

from kdmos_ros import cli  # noqa: E402
from kdmos_ros.errors import ModelError  # noqa: E402
from kdmos_ros.inference import model  # noqa: E402
from kdmos_ros.inference.gpu_operators import problems  # noqa: E402
from kdmos_ros.inference.model import ModelSpec, load_spec  # noqa: E402
from kdmos_ros.labels import MOVING  # noqa: E402
from kdmos_ros.train.export import model_package  # noqa: E402
from kdmos_ros.train.export.model_package import write_model  # noqa: E402
from kdmos_ros.train.export.onnx_export import OPSET, export_student  # noqa: E402
from kdmos_ros.train.networks.student import Student, reference_config  # noqa: E402
from kdmos_ros.train.networks.weights import load_student  # noqa: E402


def run_all(path, **feeds):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value) for name, value in feeds.items()})


def run(path, **feeds):
    return run_all(path, **feeds)[0]


def onnx_logits(encoder, bev, config, point, cell, z_bin, motion):
    """Point logits as a deployed engine gets them from the two graphs."""
    embedding, *query = run_all(encoder, point_features=point)
    assert (embedding >= 0).all()
    appearance = np.zeros((config.n_cells, embedding.shape[1]), np.float32)
    np.maximum.at(appearance, cell.numpy(), embedding)
    occupied, slot = np.unique(cell.numpy(), return_inverse=True)
    rows, row = np.unique(motion[0].numpy(), axis=0, return_inverse=True)
    maps = {"appearance": appearance, "motion": rows, "motion_row": row.reshape(-1)}
    logits, *key = run_all(bev, **maps, cells=occupied)
    assert logits.shape == (len(occupied), config.n_z, config.n_classes)
    read = logits[slot, z_bin.numpy()]
    for asked, answer in zip(query, key, strict=True):
        read[:, MOVING] += (asked * answer[slot]).sum(1)
    return read


def test_a_bottleneck_after_the_maximum_is_refused(tmp_path):
    with torch.device("meta"):
        student = Student(reference_config())
    with pytest.raises(ModelError, match="bottleneck"):
        export_student(student, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("config", EXPORTABLE.values(), ids=EXPORTABLE.keys())
def test_onnx_equals_torch(config, tmp_path):
    student = calibrated(config)
    encoder, bev = export_student(student, tmp_path)
    for n_points in (1, 40, 333):
        point, cell, z_bin, motion = inputs(config, n_points, seed=n_points)
        expected = student(point, cell, z_bin, motion)
        actual = onnx_logits(encoder, bev, config, point, cell, z_bin, motion)
        assert expected.std() > 0.05  # a faded signal would equal anything
        scale = max(1.0, expected.abs().max().item())
        np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("config", EXPORTABLE.values(), ids=EXPORTABLE.keys())
def test_graphs_hold_only_portable_operators(config, tmp_path):
    for path in export_student(Student(config), tmp_path):
        graph = onnx.load(str(path))
        assert [entry.version for entry in graph.opset_import if entry.domain == ""] == [OPSET]
        assert problems(path) == []
        if not config.input_norm:
            assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}


def test_names_and_shapes_are_the_engines(tmp_path):
    config = tiny()
    shapes = {}
    for path in export_student(Student(config), tmp_path):
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for value in [*session.get_inputs(), *session.get_outputs()]:
            shapes[value.name] = (value.type, value.shape)
    assert shapes == {
        "point_features": ("tensor(float)", ["points", 5]),
        "point_embedding": ("tensor(float)", ["points", 16]),
        "appearance": ("tensor(float)", [16 * 24, 16]),
        "motion": ("tensor(float)", ["rows", 2]),
        "motion_row": ("tensor(int64)", [16 * 24]),
        "cells": ("tensor(int64)", ["occupied"]),
        "logits": ("tensor(float)", ["occupied", 3, 4]),
    }


def test_no_point_and_no_cell(tmp_path):
    config = tiny()
    encoder, bev = export_student(Student(config), tmp_path)
    assert run(encoder, point_features=np.zeros((0, 5), np.float32)).shape == (0, 16)
    feeds = {
        "appearance": np.zeros((config.n_cells, 16), np.float32),
        "motion": np.zeros((1, 2), np.float32),
        "motion_row": np.zeros(config.n_cells, np.int64),
    }
    assert run(bev, cells=np.zeros(0, np.int64), **feeds).shape == (0, 3, 4)


def test_export_leaves_the_student_alone(tmp_path):
    config = tiny()
    student = calibrated(config).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    export_student(student, tmp_path)
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def fitting_spec():
    """A specification and a student of its grid and features."""
    spec = ModelSpec(name="tiny")
    grid = dataclasses.replace(spec.grid, n_rho=16, n_phi=16, n_z=2)
    spec = dataclasses.replace(spec, grid=grid)
    config = dataclasses.replace(
        tiny(n_rho=16, n_phi=16, halo=0, n_z=2),
        n_point_features=spec.features.n_point,
        n_motion=spec.features.n_motion,
    )
    return dataclasses.replace(spec, network=config.to_dict()), Student(config)


@pytest.fixture
def trained(tmp_path):
    """Weights and specification as files, and the student that they describe."""
    spec, student = fitting_spec()
    torch.save(student.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "model.json").write_text(spec.to_json())
    return tmp_path, spec, student


def make_model(*arguments):
    return cli.main(["onnx", *map(str, arguments)])


def test_command_makes_a_loadable_model(trained):
    folder, spec, _ = trained
    output = folder / "models" / "m"
    assert make_model(folder / "weights.pt", folder, output, "--name", "m") == 0
    loaded = load_spec(output)
    assert loaded.name == "m"
    assert loaded.network == spec.network
    assert [p.name for p in (folder / "models").iterdir()] == ["m"]


def test_training_checkpoint_gives_its_averaged_weights(trained):
    folder, spec, student = trained
    other = Student(student.config).state_dict()
    averaged = {f"module.{name}": value for name, value in student.state_dict().items()}
    averaged["n_averaged"] = torch.tensor(3)
    torch.save({"step": 3, "student": other, "averaged": averaged}, folder / "checkpoint.pt")
    loaded = load_student(folder / "checkpoint.pt", model_package.student_config(spec))
    expected = student.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


class Untrusted:
    """Pickles to a call, as a hostile file would."""

    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "weights"),
        (b"not weights at all", "weights"),
        ([1, 2], "neither a state dict nor"),
        ({"weight": torch.zeros(2)}, "do not fit"),
        ({"weight": Untrusted()}, "plain weights"),
    ],
)
def test_bad_weights_are_one_clear_line(trained, capsys, content, message):
    folder = trained[0]
    path = folder / "bad.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert make_model(path, folder, folder / "out") == 2
    printed = capsys.readouterr()
    assert "this ran" not in printed.out
    assert printed.err.startswith("kdmos: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert str(path) in printed.err
    assert not (folder / "out").exists()


def test_a_student_of_another_grid_is_refused(trained, capsys):
    folder, spec, _ = trained
    wrong = dataclasses.replace(spec, grid=dataclasses.replace(spec.grid, n_rho=32))
    (folder / "model.json").write_text(wrong.to_json())
    assert make_model(folder / "weights.pt", folder, folder / "out") == 2
    assert "n_rho 16" in capsys.readouterr().err


def test_a_failing_export_keeps_the_old_model(trained, monkeypatch):
    folder, spec, student = trained
    write_model(student, spec, folder / "m")
    before = {path.name: path.read_bytes() for path in (folder / "m").iterdir()}
    assert set(before) == {*model.GRAPHS, model.SPEC_FILE}

    def broken(*_args, **_kwargs):
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(RuntimeError):
        write_model(Student(student.config), spec, folder / "m")
    assert {path.name: path.read_bytes() for path in (folder / "m").iterdir()} == before
    assert not list(folder.glob(".m-*"))
