"""Checks of the launch files' arguments: what is wrong ends `ros2 launch` with one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros.parameter_table import SPECS

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_BAG_FILES = (".mcap", ".db3", ".zstd", ".bag", ".yaml")


def truth(name: str, text: str) -> bool:
    """A yes or no.

    Raises:
        KdmosError: it is neither.
    """
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise KdmosError(f"{name} must be true or false, got '{text}'")
    return word in _TRUE


def log_level(text: str) -> str:
    """One of LOG_LEVELS.

    Raises:
        KdmosError: it is not.
    """
    if text.strip().lower() not in LOG_LEVELS:
        raise KdmosError(f"log_level must be one of {', '.join(LOG_LEVELS)}, got '{text}'")
    return text.strip().lower()


def parameter(name: str, text: str) -> Any:
    """The value of an argument that is a parameter of the node, checked as the node will.

    Raises:
        KdmosError: the node would refuse it.
    """
    (spec,) = (spec for spec in SPECS if spec.name == name)
    value: Any = text
    if isinstance(spec.default, bool):
        value = truth(name, text)
    elif isinstance(spec.default, int):
        if not text.strip().isdecimal() or not (spec.low or 0) <= int(text) <= (spec.high or 0):
            raise KdmosError(f"{name} must be {spec.low} to {spec.high}, got '{text}'")
        value = int(text)
    complaint = spec.complaint(value)
    if complaint is not None:
        raise KdmosError(complaint)
    if spec.check_live is not None:
        spec.check_live(value)
    return value


def parameter_file(text: str, node_name: str) -> tuple[Path, str]:
    """A file of parameters, and a warning if nothing in it is meant for the node, else "".

    Args:
        node_name: with its namespace, as /front/mos_node.

    Raises:
        KdmosError: there is no such file, or it is none of parameters.
    """
    import yaml

    path = Path(text).expanduser()
    if not path.is_file():
        raise KdmosError(f"params_file: no file '{text}'")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise KdmosError(f"params_file {path}: cannot be read: {reason}") from None
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise KdmosError(f"params_file {path}: needs node names with ros__parameters below them")
    if not _meant(content, node_name):
        names = ", ".join(str(name) for name in content)
        return path, (
            f"params_file {path} has parameters of {names}, but none of {node_name}: the node "
            f"does not see them; write them under '/**:' or '{node_name}:'"
        )
    return path, ""


def bag(text: str) -> str:
    """The path of a bag to play.

    Raises:
        KdmosError: there is nothing there that can be one.
    """
    path = Path(text).expanduser()
    if not path.exists():
        raise KdmosError(f"bag: no such bag: '{text}'")
    files = [path] if path.is_file() else path.iterdir()
    if not any(file.suffix in _BAG_FILES for file in files):
        raise KdmosError(f"bag: not a rosbag2: '{text}' (no bag directory, .mcap or .db3 file)")
    return str(path)


def unknown(words: Sequence[str], known: Collection[str]) -> list[str]:
    """One line for every argument that a launch file does not have.

    Args:
        words: of the command line, as "name:=value".
    """
    lines = []
    for name in dict.fromkeys(word.partition(":=")[0] for word in words if ":=" in word):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            lines.append(f"there is no launch argument '{name}': it is ignored{hint}")
    return lines


def _meant(content: Mapping[Any, Any], node_name: str, above: str = "") -> bool:
    """Whether parameters of a file reach a node, by the rules of rcl: * is one name, ** any."""
    for name, below in content.items():
        full = f"{above}/{str(name).strip('/')}"
        pattern = re.escape(full).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
        if not isinstance(below, dict):
            continue
        if "ros__parameters" in below and re.fullmatch(pattern, node_name):
            return True
        if _meant({k: v for k, v in below.items() if k != "ros__parameters"}, node_name, full):
            return True
    return False
