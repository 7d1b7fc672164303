"""Parameter files for the LiDARs of each maker, `config/sensors/*.yaml`, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.pointcloud.deskew_mode import deskew_mode
from kdmos_ros.resources import share_dir

FOLDER = "config/sensors"


def sensor_names() -> list[str]:
    """The sensors that files are shipped for, sorted.

    Raises:
        KdmosError: the package's shared files are missing.
    """
    return sorted(path.stem for path in (share_dir() / FOLDER).glob("*.yaml"))


def sensor_file(name: str) -> Path:
    """The parameter file of a sensor: a shipped one by its name, or any other by its path.

    Raises:
        KdmosError: there is none; the message lists those there are.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path.resolve()
        raise KdmosError(f"sensor: no file {name}")
    names = sensor_names()
    if name in names:
        return share_dir() / FOLDER / f"{name}.yaml"
    raise KdmosError(
        f"no sensor '{name}'; choose one of {', '.join(names)} (or give the path of a .yaml file)"
    )


def sensor_options(name: str) -> dict[str, Any]:
    """How the clouds of a sensor are read: its values of `defaults.CLOUD_OPTIONS`.

    Raises:
        KdmosError: there is no such sensor, or its file is not a parameter file.
    """
    import yaml

    from kdmos_ros.defaults import CLOUD_OPTIONS

    path = sensor_file(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        (node,) = content.values()
        values = dict(node["ros__parameters"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KdmosError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise KdmosError(f"{path}: needs one node with ros__parameters") from error
    options = {}
    for key in CLOUD_OPTIONS.keys() & values.keys():
        if key == "deskew":
            try:
                options[key] = deskew_mode(values[key])
            except ValueError as error:
                raise KdmosError(f"{path}: {key} {error}") from error
            continue
        kind = type(CLOUD_OPTIONS[key])
        if type(values[key]) is not kind:
            raise KdmosError(f"{path}: {key} must be {kind.__name__}, got {values[key]!r}")
        options[key] = values[key]
    return options
