"""Parameter files for the LiDARs of each maker, `config/sensors/*.yaml`, by name."""

from __future__ import annotations

from pathlib import Path

from kdmos_ros.errors import KdmosError
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
        f"no sensor '{name}'; there are {', '.join(names)} (or give the path of a .yaml file)"
    )
