"""The README's tables against the code: what is documented exists, what exists is documented."""

import argparse
import re
from pathlib import Path

import pytest

from kdmos_ros.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(heading):
    """Rows of the first table under a heading, each a list of cells."""
    section = re.split(r"\n#+ ", README.split(f"# {heading}\n", 1)[1])[0]
    rows = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def shown(value):
    """A default as the README prints it."""
    if value == "":
        return "empty"
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def test_parameters_are_those_of_the_node():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from kdmos_ros.ros.parameters import SPECS

    expected = [
        [f"`{spec.name}`", shown(spec.default), "yes" if spec.live else "", spec.description]
        for spec in SPECS
    ]
    assert table("Parameters") == expected


def test_commands_are_those_of_the_command_line():
    subparsers = next(
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    documented = [row[0].strip("`").split()[1] for row in table("Commands")]
    assert sorted(documented) == sorted(subparsers.choices)


def test_topics_are_those_of_the_node():
    """Every topic that the code names is in the table, and no other."""
    sources = "".join(path.read_text() for path in (ROOT / "kdmos_ros" / "ros").glob("*.py"))
    created = r'create_(?:publisher|subscription|service)\(\s*\w+,\s*"([^"]+)"'
    in_code = set(re.findall(created, sources))
    documented = {row[0].strip("`") for row in table("Topics")}
    assert in_code - documented == {"~/reset"}, "in the code, but not in the table"
    assert "`~/reset`" in README


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_that_the_documents_name_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    for path in linked:
        assert (ROOT / path).exists(), path


def test_sensors_are_those_of_the_files():
    yaml = pytest.importorskip("yaml")
    rows = {row[0].strip("`"): row[2:] for row in table("Your own LiDAR")}
    files = (ROOT / "config" / "sensors").glob("*.yaml")
    shipped = {p.stem: yaml.safe_load(p.read_text())["/**"]["ros__parameters"] for p in files}
    assert rows.keys() == shipped.keys()
    for name, (intensity, time) in rows.items():
        values = shipped[name]
        if values["intensity_field"]:
            scale = f"{values['intensity_scale']:g}"
            assert intensity == f"`{values['intensity_field']}` / {scale}"
        if values["time_field"]:
            base = {"stamp": "from the stamp", "absolute": "since 1970"}[values["time_base"]]
            assert time == f"`{values['time_field']}`, {values['time_unit']} {base}"
