"""ONNX Runtime's execution providers: which one to run on, in which precision, how set up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime as ort

from kdmos_ros.defaults import AUTO, PROVIDERS
from kdmos_ros.errors import ModelError
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.inference.provider_settings import ProviderSettings
from kdmos_ros.thread_pool import thread_count

# TensorRT compiles for minutes, so it must be asked for.
_AUTO_ORDER = ("cuda", "openvino")
# Neither speed nor labels of these have been measured on real hardware; see docs/providers.md.
_UNMEASURED = {"cuda": "CUDA", "tensorrt": "TensorRT"}
# Best first. INT8 on ONNX Runtime's own CPU kernels is faster than single precision where the
# processor has instructions for it, but not exact. The INT8 graphs have zero points, which TensorRT
# refuses and CUDA has no kernels for.
_PRECISIONS = {
    "cpu": ("fp32", "int8", "fp16"),
    "cuda": ("fp16", "fp32"),
    "tensorrt": ("fp16", "fp32"),
    "openvino": ("int8", "fp32", "fp16"),
}
_MOST_POINTS = 1 << 20  # of a scan, for TensorRT
_USUAL_POINTS = 1 << 17

Options = dict[str, str]


def usable_provider(wanted: str) -> str:
    """Key of PROVIDERS to run on: the one wanted if this ONNX Runtime has it, else "cpu".

    Args:
        wanted: key of defaults.PROVIDERS, or "auto": CUDA, OpenVINO or CPU, the first there is.

    Raises:
        ValueError: no such provider.
    """
    if wanted != AUTO and wanted not in PROVIDERS:
        raise ValueError(f"provider must be auto or one of {sorted(PROVIDERS)}: {wanted!r}")
    available = ort.get_available_providers()
    for key in _AUTO_ORDER if wanted == AUTO else (wanted,):
        if PROVIDERS[key] in available:
            return key
    return "cpu"


def unmeasured_note(wanted: str, used: str) -> str:
    """One line to log if "auto" chose a provider whose speed and labels are not measured, or "".

    Args:
        wanted: key of defaults.PROVIDERS, or "auto".
        used: ONNX Runtime's name of the provider in use.
    """
    for key, name in _UNMEASURED.items():
        if wanted == AUTO and PROVIDERS[key] == used:
            return (
                f"provider auto chose {name}, which is not measured: neither its speed nor its "
                f"labels were checked on hardware; `kdmos providers --check --provider {key}` "
                "checks them here, and provider cpu or openvino avoids it"
            )
    return ""


def choose_precision(spec: ModelSpec, provider: str, wanted: str) -> str:
    """Precision to run a model in.

    Args:
        provider: key of defaults.PROVIDERS.
        wanted: one of defaults.PRECISIONS, or "auto": the fastest that the model has.

    Raises:
        ModelError: the model has no such graphs, or they are of no use on this provider.
    """
    good = [p for p in _PRECISIONS[provider] if _has(spec, provider, p)]
    if wanted == AUTO:
        return good[0]
    if wanted not in _PRECISIONS[provider]:
        raise ModelError(f"precision {wanted} does not run on {provider}: use {' or '.join(good)}")
    if wanted not in good:
        raise ModelError(f"model {spec.name} has no {wanted} graphs, only {', '.join(good)}")
    return wanted


def graph_precision(provider: str, precision: str) -> str:
    """Precision of the graph files to load. TensorRT rounds to fp16 itself, where it is safe."""
    return "fp32" if provider == "tensorrt" else precision


def _has(spec: ModelSpec, provider: str, precision: str) -> bool:
    return graph_precision(provider, precision) in spec.precisions


def make_session(
    path: Path,
    provider: str,
    precision: str,
    num_threads: int,
    settings: ProviderSettings | None = None,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """A session for one graph. It falls back to the CPU where the provider does not start.

    Args:
        provider: key of defaults.PROVIDERS that ONNX Runtime has.
        num_threads: CPU threads; 0: as many as the cores that this process may use.
        settings: the user's, None: plain ones.
        profile: beginning of the name of a file for ONNX Runtime's profile, if one is wanted.

    Raises:
        ModelError: ONNX Runtime cannot load the graph.
    """
    threads = thread_count(num_threads)
    settings = settings or ProviderSettings()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # A block for the whole graph's peak, beside the arena, for a gain too small to measure.
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # a missing GPU library is reported by `fell_back`, once
    # Spinning threads would take a robot's other cores while there is nothing to do.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        # Of its own: names end in the time, and sessions made at the same time share one.
        options.profile_file_prefix = f"{profile}-{path.stem}"
    chain: list[Any] = [PROVIDERS["cpu"]]
    if provider == "tensorrt" and PROVIDERS["cuda"] in ort.get_available_providers():
        # For what TensorRT leaves out.
        chain.insert(0, (PROVIDERS["cuda"], {"device_id": str(settings.device)}))
    if provider != "cpu":
        cache = settings.cache or cache_folder()
        made = provider_options(provider, precision, path, threads, cache, settings)
        chain.insert(0, (PROVIDERS[provider], made))
    try:
        return ort.InferenceSession(str(path), options, providers=chain)
    except Exception as error:  # ONNX Runtime raises many types of its own
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}") from error


def provider_options(
    provider: str,
    precision: str,
    graph: Path,
    threads: int,
    cache: Path,
    settings: ProviderSettings = ProviderSettings(),  # noqa: B008 - immutable
) -> Options:
    """Options of a provider for one of a model's graphs, as ONNX Runtime's documents name them."""
    graphs = "1" if settings.cuda_graphs else "0"
    if provider == "cuda":
        # The shapes hardly change, so that searching for the fastest kernel pays.
        return {
            "device_id": str(settings.device),
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "use_tf32": "0",
            "enable_cuda_graph": graphs,
        }
    if provider == "tensorrt":
        engines = cache / "tensorrt"
        engines.mkdir(parents=True, exist_ok=True)
        return {
            "device_id": str(settings.device),
            "trt_cuda_graph_enable": graphs,
            "trt_fp16_enable": "1" if precision == "fp16" else "0",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engines),
            **_shape_ranges(graph),
        }
    if provider == "openvino":
        # Not told, it takes all cores, whatever ONNX Runtime's own setting is.
        return {"device_type": "CPU", "num_of_threads": str(threads)}
    return {}


def cache_folder() -> Path:
    """Where compiled engines are kept: $XDG_CACHE_HOME/kdmos_ros, or ~/.cache/kdmos_ros."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "kdmos_ros"


def _shape_ranges(graph: Path) -> Options:
    """TensorRT's ranges of the open axis, so that it does not build an engine for every scan."""
    plain = ort.SessionOptions()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    inputs = ort.InferenceSession(str(graph), plain, providers=[PROVIDERS["cpu"]]).get_inputs()
    found = {i.name: i.shape for i in inputs if any(isinstance(size, str) for size in i.shape)}

    def shapes(points: int) -> str:
        sizes = {n: [points if isinstance(s, str) else s for s in v] for n, v in found.items()}
        return ",".join(f"{name}:{'x'.join(map(str, size))}" for name, size in sizes.items())

    return {
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(_USUAL_POINTS),
        "trt_profile_max_shapes": shapes(_MOST_POINTS),
    }
