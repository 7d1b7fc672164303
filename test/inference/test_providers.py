"""Which provider and precision are used, and what each provider is told."""

import dataclasses
import os
from pathlib import Path

import onnxruntime
import pytest

from kdmos_ros.defaults import PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.inference import providers
from kdmos_ros.inference.engine import Engine
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.inference.provider_settings import ProviderSettings, parse_settings
from kdmos_ros.inference.providers import (
    choose_precision,
    graph_precision,
    provider_options,
    unmeasured_note,
    usable_provider,
)

FILES = ("encoder.onnx", "bev.onnx")
PLAIN = ModelSpec("plain", sha256=dict.fromkeys(FILES, ""))
INT8 = dataclasses.replace(PLAIN, sha256=dict.fromkeys((*FILES, "bev.int8.onnx"), ""))
ALL = dataclasses.replace(
    PLAIN, sha256=dict.fromkeys((*INT8.sha256, "encoder.fp16.onnx", "bev.fp16.onnx"), "")
)


@pytest.mark.parametrize(
    ("installed", "wanted", "used"),
    [
        ([], "auto", "cpu"),
        (["openvino"], "auto", "openvino"),
        (["cuda", "openvino"], "auto", "cuda"),
        (["tensorrt", "cuda"], "auto", "cuda"),
        (["tensorrt", "cuda"], "tensorrt", "tensorrt"),
        (["openvino"], "cpu", "cpu"),
        (["openvino"], "cuda", "cpu"),
    ],
)
def test_the_best_provider_that_is_installed(monkeypatch, installed, wanted, used):
    names = [PROVIDERS[key] for key in [*installed, "cpu"]]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    assert usable_provider(wanted) == used


@pytest.mark.parametrize(
    ("wanted", "used", "says"),
    [
        ("auto", "cuda", "auto chose CUDA, which is not measured"),
        ("auto", "tensorrt", "auto chose TensorRT, which is not measured"),
        ("auto", "openvino", None),
        ("auto", "cpu", None),
        ("cuda", "cuda", None),
    ],
)
def test_auto_says_that_a_provider_is_not_measured(wanted, used, says):
    note = unmeasured_note(wanted, PROVIDERS[used])
    assert says in note if says else note == ""


def test_an_unknown_provider_is_refused():
    with pytest.raises(ValueError, match="provider must be auto or one of"):
        usable_provider("abacus")


@pytest.mark.parametrize(
    ("spec", "provider", "precision"),
    [
        (PLAIN, "openvino", "fp32"),
        (INT8, "openvino", "int8"),
        (INT8, "cpu", "fp32"),
        (INT8, "cuda", "fp32"),
        (ALL, "cuda", "fp16"),
        (ALL, "cpu", "fp32"),
        # It rounds the graph in single precision itself.
        (PLAIN, "tensorrt", "fp16"),
    ],
)
def test_auto_is_the_fastest_that_the_model_has(spec, provider, precision):
    assert choose_precision(spec, provider, "auto") == precision


def test_a_precision_that_cannot_be_is_refused():
    with pytest.raises(ModelError, match="model plain has no int8 graphs, only fp32"):
        choose_precision(PLAIN, "cpu", "int8")
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(ModelError, match=f"precision int8 does not run on {provider}"):
            choose_precision(ALL, provider, "int8")


def test_a_graph_without_a_file_of_its_own_stays_in_single_precision():
    assert INT8.graph_in("bev.onnx", "int8") == "bev.int8.onnx"
    assert INT8.graph_in("encoder.onnx", "int8") == "encoder.onnx"
    assert INT8.precisions == ("fp32", "int8")
    assert graph_precision("tensorrt", "fp16") == "fp32"


def test_openvino_is_told_the_number_of_threads(tmp_path):
    options = provider_options("openvino", "int8", tmp_path / "bev.onnx", 3, tmp_path)
    assert options == {"device_type": "CPU", "num_of_threads": "3"}


def test_tensorrt_keeps_engines_and_knows_the_open_shapes(tiny_model, tmp_path):
    def told(graph, precision):
        return provider_options("tensorrt", precision, tiny_model / graph, 1, tmp_path)

    encoder = told("encoder.onnx", "fp16")
    assert encoder["trt_fp16_enable"] == "1" and told("bev.onnx", "fp32")["trt_fp16_enable"] == "0"
    assert encoder["trt_engine_cache_path"] == str(tmp_path / "tensorrt")
    assert (tmp_path / "tensorrt").is_dir()
    assert encoder["trt_profile_min_shapes"] == "point_features:1x13"
    assert encoder["trt_profile_max_shapes"] == f"point_features:{2**20}x13"
    # Only the numbers of occupied cells and of rows of the motion map are open here.
    shapes = told("bev.onnx", "fp32")["trt_profile_opt_shapes"]
    assert shapes == f"motion:{2**17}x36,cells:{2**17}"


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert providers.cache_folder() == tmp_path / "kdmos_ros"


@pytest.mark.parametrize(("asked", "threads"), [(1, 1), (3, 3), (0, None)])
def test_threads_are_as_asked_and_do_not_spin(monkeypatch, tiny_model, asked, threads):
    seen = []

    class Session:
        def __init__(self, path, options, providers):
            seen.append((options, providers))

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 7})
    providers.make_session(tiny_model / "bev.onnx", "cpu", "fp32", asked)
    ((options, chain),) = seen
    assert options.intra_op_num_threads == (threads or 5), "not all the cores it may use"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert chain == [PROVIDERS["cpu"]]


def test_each_graph_has_a_profile_of_its_own(monkeypatch, tiny_model, tmp_path):
    seen = []

    def session(path, options, providers):
        seen.append(options.profile_file_prefix)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    for file in FILES:
        providers.make_session(tiny_model / file, "cpu", "fp32", 1, None, tmp_path / "ort")
    assert len(set(seen)) == 2 and all(name.startswith(str(tmp_path / "ort")) for name in seen)


@pytest.mark.parametrize(
    ("asked", "got"), [("tensorrt", "cuda"), ("tensorrt", "cpu"), ("cuda", "cpu")]
)
def test_what_starts_instead_is_given_its_own_precision(monkeypatch, tiny_model, asked, got):
    """TensorRT's fp16 is made of the graph in fp32, which CUDA would run as it is."""
    loaded = []

    class Session:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def get_providers(self):
            return [PROVIDERS[got], PROVIDERS["cpu"]]

    def session(path, provider, precision, *rest):
        loaded.append((provider, precision))
        return Session(make_session(path, "cpu", precision, 1))

    make_session = providers.make_session
    names = list(PROVIDERS.values())
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr("kdmos_ros.inference.engine.make_session", session)
    engine = Engine(tiny_model, asked, 1, options="binding=off")
    assert engine.fell_back and engine.provider == PROVIDERS[got]
    assert engine.precision == "fp32" and loaded[-1] == (got, "fp32")


def test_tensorrt_leaves_the_rest_to_cuda(monkeypatch, tiny_model, tmp_path):
    chains = []
    real = onnxruntime.InferenceSession

    def session(path, options, providers):
        chains.append([p if isinstance(p, str) else p[0] for p in providers])
        return real(path, options, providers=[PROVIDERS["cpu"]])

    names = [PROVIDERS[key] for key in ("tensorrt", "cuda", "cpu")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    settings = ProviderSettings(cache=tmp_path)
    providers.make_session(tiny_model / "bev.onnx", "tensorrt", "fp16", 0, settings)
    assert chains[-1] == names


def test_settings_of_a_gpu():
    assert parse_settings("", "cpu") == ProviderSettings()
    assert parse_settings("", "cuda") == ProviderSettings(binding=True)
    got = parse_settings("device=1, cuda_graphs=on,cache=/x", "tensorrt")
    assert got == ProviderSettings(1, True, True, Path("/x"))


@pytest.mark.parametrize(
    ("text", "provider", "message"),
    [
        ("speed=on", "cuda", "'speed=on' is not one of device, binding, cuda_graphs, cache"),
        ("binding", "cuda", "'binding' is not one of"),
        ("device=0,device=1", "cuda", "'device=1' is not one of .* once"),
        ("device=first", "cuda", "device must be a number from 0, got 'first'"),
        ("binding=yes", "cuda", "binding must be on or off, got 'yes'"),
        ("cache=", "tensorrt", "cache must be a folder"),
        ("cache=/x", "cuda", "cache needs provider tensorrt, not cuda"),
        ("cuda_graphs=on", "cpu", "cuda_graphs needs provider cuda or tensorrt, not cpu"),
        ("binding=on", "openvino", "binding needs provider cpu or cuda or tensorrt, not openvino"),
        ("cuda_graphs=on,binding=off", "cuda", "cuda_graphs=on needs .* binding=on"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_error(text, provider, message):
    with pytest.raises(ModelError, match=f"provider_options: {message}"):
        parse_settings(text, provider)


def test_gpus_are_told_the_settings(tiny_model, tmp_path):
    def told(provider, settings):
        graph = tiny_model / "bev.onnx"
        return provider_options(provider, "fp32", graph, 1, tmp_path, settings)

    plain, set_ = ProviderSettings(), ProviderSettings(2, True, True)
    assert told("cuda", plain)["enable_cuda_graph"] == "0"
    assert told("cuda", set_)["enable_cuda_graph"] == "1"
    assert told("cuda", set_)["device_id"] == "2"
    assert told("tensorrt", plain)["trt_cuda_graph_enable"] == "0"
    assert told("tensorrt", set_)["trt_cuda_graph_enable"] == "1"
    assert told("tensorrt", set_)["device_id"] == "2"
