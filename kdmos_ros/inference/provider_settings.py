"""What a user may set about a provider: `provider_options`, as "cuda_graphs=on,device=1"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdmos_ros.errors import ModelError

ON_GPU = ("cuda", "tensorrt")
_SWITCH = {"on": True, "off": False}
# Which providers know an option.
_FOR = {
    "device": ON_GPU,
    "binding": ("cpu", *ON_GPU),
    "cuda_graphs": ON_GPU,
    "cache": ("tensorrt",),
}


@dataclass(frozen=True)
class ProviderSettings:
    """See docs/providers.md.

    Attributes:
        device: number of the GPU.
        binding: tensors stay on the device between the graphs; see `on_device`.
        cuda_graphs: record what runs on the GPU once, and replay it.
        cache: folder for what TensorRT compiles; None: the user's cache folder.
    """

    device: int = 0
    binding: bool = False
    cuda_graphs: bool = False
    cache: Path | None = None


def parse_settings(text: str, provider: str) -> ProviderSettings:
    """Settings out of a text "name=value,name=value"; empty: the provider's defaults.

    Args:
        provider: key of defaults.PROVIDERS.

    Raises:
        ModelError: an unknown option or value, one not of this provider, or two that clash.
    """
    given: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = (p.strip() for p in part.partition("="))
        if name not in _FOR or not equals or name in given:
            raise _wrong(f"{part!r} is not one of {', '.join(_FOR)}, once, with =value")
        if provider not in _FOR[name]:
            raise _wrong(f"{name} needs provider {' or '.join(_FOR[name])}, not {provider}")
        given[name] = value
    binding = _switch(given, "binding", provider in ON_GPU)
    cuda_graphs = _switch(given, "cuda_graphs", False)
    if cuda_graphs and not binding:
        raise _wrong("cuda_graphs=on needs tensors that stay where they are: binding=on")
    device = given.get("device", "0")
    if not device.isdecimal():
        raise _wrong(f"device must be a number from 0, got {device!r}")
    if given.get("cache") == "":
        raise _wrong("cache must be a folder")
    cache = Path(given["cache"]).expanduser() if "cache" in given else None
    return ProviderSettings(int(device), binding, cuda_graphs, cache)


def _switch(given: dict[str, str], name: str, default: bool) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if value not in _SWITCH:
        raise _wrong(f"{name} must be on or off, got {value!r}")
    return _SWITCH[value]


def _wrong(what: str) -> ModelError:
    return ModelError(f"provider_options: {what}")
