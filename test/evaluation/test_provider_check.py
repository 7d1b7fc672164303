"""What the owner of a GPU is told: nodes left to the CPU, and labels that are not the CPU's."""

import json

import numpy as np
import onnxruntime
import pytest

from kdmos_ros import cli
from kdmos_ros.defaults import PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.evaluation import provider_check
from kdmos_ros.evaluation.provider_check import Comparison, compare, placements, read_profile
from kdmos_ros.inference import on_device
from kdmos_ros.inference.model import find_model
from kdmos_ros.inference.on_device import STAGES
from kdmos_ros.inference.providers import usable_provider
from kdmos_ros.segmentation.segmenter import Segmenter

CPU, CUDA = PROVIDERS["cpu"], PROVIDERS["cuda"]


def node(name, kind, provider, *outputs):
    about = {"op_name": kind, "provider": provider, "output_type_shape": list(outputs)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "args": about}


@pytest.fixture
def few_points(monkeypatch):
    monkeypatch.setattr(on_device, "_POINTS_STEP", 100)


def test_nodes_left_to_the_cpu_are_named(tmp_path):
    path = tmp_path / "profile.json"
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        node("conv", "Conv", CUDA, {"float": [1, 8, 4, 4]}),
        node("conv", "Conv", CUDA, {"float": [1, 8, 4, 4]}),  # of a second run
        node("up", "GridSample", CPU, {"float": [1, 8, 4, 4]}),
        node("list", "Div", CPU, {"int64": [5000]}),
        node("size", "Concat", CPU, {"int64": [4]}),
        node("copy", "MemcpyToHost", CUDA, {"float": [1, 8, 4, 4]}),
    ]
    path.write_text(json.dumps(events))
    found = read_profile("bev", path, CUDA)
    assert found.nodes == {CUDA: 2, CPU: 3}
    assert found.fell_back == ["Div list", "GridSample up"]
    assert found.copies == 1
    assert read_profile("bev", path, CPU).fell_back == []


def test_every_stage_is_seen_in_the_profile(tiny_model, few_points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = placements(tiny_model, "cpu", "auto", 1, "", 300)
    assert tuple(stage.stage for stage in found) == STAGES
    for stage in found:
        assert set(stage.nodes) == {CPU} and stage.nodes[CPU] > 0 and not stage.fell_back
    assert not any(tmp_path.iterdir()), "profiles are left behind"


def test_a_provider_that_does_not_start_is_no_check(tiny_model, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(ModelError, match="cuda does not start here"):
        placements(tiny_model, "cuda", "auto", 1, "", 300)


def test_labels_of_both_ways_are_compared(tiny_model, few_points):
    found = compare(tiny_model, "cpu", "fp32", 1, "binding=on", 300)
    assert found.good and found.largest <= 1e-5 and found.tolerance == 1e-3


def test_wrong_labels_are_found(tiny_model, few_points, monkeypatch):
    real = on_device.OnDevice.run

    def broken(self, frame, threshold, timings_ms):
        labels, probability = real(self, frame, threshold, timings_ms)
        return labels, np.where(np.arange(len(labels)) == 7, np.float32(np.nan), probability)

    monkeypatch.setattr(on_device.OnDevice, "run", broken)
    assert not compare(tiny_model, "cpu", "fp32", 1, "binding=on", 300).good
    assert not Comparison(0.0, 0.2, 0.2, 1e-3).good
    assert not Comparison(2e-3, 0.0, 0.0, 1e-3).good


def test_the_command_says_what_it_found(tiny_model, few_points, capsys, monkeypatch):
    words = ["providers", "--check", "--model", str(tiny_model), "--points", "300"]
    words += ["--provider", "cpu", "--provider-options", "binding=on", "--threads", "1"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "scatter: CPUExecutionProvider 2; 0 copies" in told and told.endswith("good\n")
    monkeypatch.setattr(provider_check, "compare", lambda *_: Comparison(0.5, 0.3, 0.2, 1e-3))
    assert cli.main(words) == 1
    assert capsys.readouterr().out.endswith("NOT as expected\n")
    assert cli.main([*words, "--provider-options", "cuda_graphs=on"]) == 2
    told = capsys.readouterr().err
    assert told == (
        "kdmos: error: provider_options: cuda_graphs needs provider cuda or tensorrt, not cpu\n"
    )


def test_the_command_lists_operators(tiny_model, capsys):
    pytest.importorskip("onnx")
    assert cli.main(["providers", "--operators", "--model", str(tiny_model)]) == 0
    told = capsys.readouterr().out
    assert "bev.onnx: CUDA and TensorRT have all" in told
    assert "ScatterElements (opset 18): float, int64" in told


@pytest.mark.parametrize("options", ["", "cuda_graphs=on"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_the_gpu_that_is_here(precision, options):
    if usable_provider("cuda") != "cuda":
        pytest.skip("ONNX Runtime has no CUDA here")
    folder = find_model()
    if Segmenter(folder, provider="cuda").fell_back:
        pytest.skip("CUDA does not start here")
    for stage in placements(folder, "cuda", precision, 0, options, 120000):
        assert stage.nodes and not stage.fell_back, stage.stage
    assert compare(folder, "cuda", precision, 0, options, 120000).good
