"""INT8 and half precision: nearly the same answers, and folders that are never half changed."""

import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="a tiny model is exported with torch")
onnx = pytest.importorskip("onnx")

from kdmos_ros import cli  # noqa: E402
from kdmos_ros.errors import KdmosError, ModelError  # noqa: E402
from kdmos_ros.inference.engine import Engine  # noqa: E402
from kdmos_ros.inference.model import SPEC_FILE, load_spec  # noqa: E402
from kdmos_ros.io.sources import SimulatedSource  # noqa: E402
from kdmos_ros.segmentation.segmenter import Segmenter  # noqa: E402
from kdmos_ros.train.export import int8_bias  # noqa: E402
from kdmos_ros.train.export import quantize as module  # noqa: E402
from kdmos_ros.train.export.calibration_scans import bev_inputs, calibration_drives, spread  # noqa: E402


@pytest.fixture(scope="module")
def drive():
    return SimulatedSource(3, sensor="vlp16", duration_s=0.6)


@pytest.fixture(scope="module")
def inputs(drive, tiny_model):
    return list(bev_inputs(Engine(tiny_model, "cpu"), [drive], 4))


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture(scope="module")
def many(tiny_model, inputs, tmp_path_factory):
    """The tiny model in all precisions."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("precisions") / "model")
    module.quantize(folder, inputs, note={"scans": 4})
    module.halve(folder)
    return folder


def test_calibration_sees_what_the_engine_feeds(inputs, tiny_model):
    spec = load_spec(tiny_model)
    assert len(inputs) == 4
    for fed in inputs:
        assert fed["motion_row"].shape == (spec.grid.n_cells,)
        assert fed["motion"].shape[1] == spec.features.n_motion
        assert fed["motion_row"].max() < len(fed["motion"]) and not fed["motion"][0].any()
        assert fed["appearance"][fed["cells"]].any() and fed["appearance"].min() == 0
    assert any(fed["motion"].any() for fed in inputs), "no scan with a history"


def test_spread_is_even_and_has_both_ends():
    assert spread(range(9), 3) == [0, 4, 8]
    assert spread("ab", 5) == ["a", "b"] and spread([], 4) == []


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_int8_convolutions_answer_almost_alike(folder, inputs, method):
    module.quantize(folder, inputs, method)
    graph = onnx.load(folder / "bev.int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions and not any(node.op_type == "AveragePool" for node in graph.node)
    # Those behind a convolution are in it, so that its steps begin at zero.
    for node in graph.node:
        assert node.op_type != "Relu" or made_by[node.input[0]] != "DequantizeLinear"
    rounded = [n for n in convolutions if made_by.get(n.input[1]) == "DequantizeLinear"]
    exact = [node.name for node in convolutions if node not in rounded]
    # Those of the maps before they are pooled.
    first = ("/appearance.0", "/motion.0", "/join.0", "/decoder.3/conv/conv.0/conv.0.0/skip")
    assert exact and all(name.startswith(first) for name in exact)
    assert all(made_by[node.input[0]] == "DequantizeLinear" for node in rounded)
    exact, rounded = (Engine(folder, "cpu", 1, p)._bev for p in ("fp32", "int8"))
    expected, got = (session.run(None, inputs[0])[0] for session in (exact, rounded))
    assert np.abs(got - expected).max() > 0
    # Untrained weights, amplified: rounding adds up more than in a trained net.
    assert np.abs(got - expected).mean() < 0.2 * expected.std()


def test_rounding_shifts_no_answer(folder, inputs):
    """The logit of MOVING is as often too high as too low."""
    module.quantize(folder, inputs)
    exact, rounded = (Engine(folder, "cpu", 1, p)._bev for p in ("fp32", "int8"))

    def shift():
        shifts = []
        for fed in inputs:
            before, after = (lead(session.run(None, fed)[0]) for session in (exact, rounded))
            shifts.append((after - before)[np.maximum(before, after) > -2])
        return np.median(np.concatenate(shifts))

    def lead(logits):
        return logits[..., 3] - np.logaddexp(logits[..., 1], logits[..., 2])

    assert abs(shift()) < 0.01  # of logits whose spread is some units
    path = folder / "bev.int8.onnx"
    model = onnx.load(path)
    (bias,) = (w for w in model.graph.initializer if w.dims == [4 * load_spec(folder).grid.n_z])
    values = onnx.numpy_helper.to_array(bias).copy()
    values[3::4] += 0.25
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, path)
    assert int8_bias.centre(path, folder / "bev.onnx", inputs) == pytest.approx(0.25, abs=0.02)


def test_half_precision_answers_alike_and_speaks_single(many, inputs):
    exact, half = (Engine(many, "cpu", 1, p) for p in ("fp32", "fp16"))
    for session in (half._bev, half._encoder):
        types = {v.type for v in [*session.get_inputs(), *session.get_outputs()]}
        assert types <= {"tensor(float)", "tensor(int64)"}
    expected, got = (e._bev.run(None, inputs[0])[0] for e in (exact, half))
    assert 0 < np.abs(got - expected).max() < 0.01 * np.abs(expected).max()
    weights = {w.data_type for w in onnx.load(many / "bev.fp16.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in weights


def test_the_model_tells_its_precisions(many, drive):
    spec = load_spec(many)
    assert spec.precisions == ("fp32", "fp16", "int8")
    assert spec.training["int8"]["scans"] == 4
    assert set(spec.sha256) == {path.name for path in many.glob("*.onnx")}
    for precision in ("fp32", "int8"):
        segmenter = Segmenter(many, provider="cpu", precision=precision)
        assert segmenter.precision == precision
        assert segmenter.push(next(iter(drive)).scan).labels.any()
    assert Segmenter(many, provider="cpu").precision == "fp32"


def test_a_changed_graph_of_any_precision_is_refused(many, tmp_path):
    folder = shutil.copytree(many, tmp_path / "model")
    path = folder / "bev.int8.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"bev\.int8\.onnx: damaged or replaced"):
        load_spec(folder)


def test_new_weights_take_the_old_int8_away(many, tmp_path):
    from tiny_model_harness import make_tiny_model

    folder = shutil.copytree(many, tmp_path / "model")
    make_tiny_model(folder, seed=1)
    assert load_spec(folder).precisions == ("fp32",)
    assert sorted(p.name for p in folder.glob("*.onnx")) == ["bev.onnx", "encoder.onnx"]


def test_kept_convolutions_stay(folder, inputs):
    names = [n.name for n in onnx.load(folder / "bev.onnx").graph.node if n.op_type == "Conv"]
    module.quantize(folder, inputs, keep=[names[-1]])
    graph = onnx.load(folder / "bev.int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    (kept,) = (node for node in graph.node if node.name == names[-1])
    assert kept.input[1] not in made_by
    with pytest.raises(KdmosError, match="no convolution is called /nowhere"):
        module.quantize(folder, inputs, keep=["/nowhere"])


def test_a_failure_leaves_the_folder_as_it_was(folder, inputs, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*arguments, **options):
        (folder / "bev.int8.onnx.part").write_bytes(b"half")
        raise KdmosError("disk full")

    monkeypatch.setattr(module, "quantize_static", fail)
    with pytest.raises(KdmosError, match="disk full"):
        module.quantize(folder, inputs)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_command(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kdmos_ros.train.export.calibration_scans._SIMULATED_S", 0.3)
    bag = tmp_path / "bag"
    arguments = ["simulate", str(bag), "--sensor", "vlp16", "--duration", "0.5", "--seed", "1"]
    assert cli.main(arguments) == 0
    arguments = ["quantize", str(folder), "--int8", "sim:5", "--int8", str(bag), "--scans", "3"]
    arguments += ["--fp16"]
    assert cli.main(arguments) == 0
    assert "bev.int8.onnx" in capsys.readouterr().out
    spec = load_spec(folder)
    assert spec.precisions == ("fp32", "fp16", "int8")
    note = spec.training["int8"]
    assert note.pop("centred_by") != 0
    assert note == {"method": "minmax", "scans": 3, "drives": 2}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to do: give --int8 DRIVES, --fp16 or both"),
        (["--int8", "{empty}"], "neither a bag nor drive_*.npz there"),
        (["--int8", "sim:x"], "expected sim:SEED or sim:FIRST-LAST"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, tmp_path, capsys, arguments, complaint):
    before = (folder / SPEC_FILE).read_bytes()
    arguments = [a.format(empty=tmp_path / "empty") for a in arguments]
    assert cli.main(["quantize", str(folder), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert (folder / SPEC_FILE).read_bytes() == before


def test_drives_come_from_a_folder_that_training_has_kept(tmp_path, drive):
    from kdmos_ros.io.drive_file import LabelledDrive, save_drive

    for i in range(5):
        kept = LabelledDrive(list(drive)[:2], drive.base_T_sensor, "vlp16")
        save_drive(kept, tmp_path / f"drive_{i:07d}.npz")
    drives = calibration_drives(str(tmp_path), 3)
    assert [d.name for d in drives] == ["drive_0000000", "drive_0000002", "drive_0000004"]
