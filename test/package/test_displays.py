"""The RViz configuration and the Foxglove layout show the node's topics, and no others."""

import json
import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
INPUTS = {"/points", "/odom"}


def displays():
    """Displays of the RViz configuration by name."""
    content = yaml.safe_load((ROOT / "config" / "mos.rviz").read_text())
    manager = content["Visualization Manager"]
    return manager, {display["Name"]: display for display in manager["Displays"]}


def node_topics():
    """Absolute names of the topics that the code publishes, for a node without namespace."""
    sources = "".join(path.read_text() for path in (ROOT / "kdmos_ros" / "ros").glob("*.py"))
    published = re.findall(r'create_publisher\(\s*\w+,\s*"~/([^"]+)"', sources)
    return {f"/mos_node/{name}" for name in published}


def test_rviz_shows_every_cloud_and_the_objects():
    _, found = displays()
    shown = {display["Topic"]["Value"] for display in found.values() if "Topic" in display}
    assert shown - INPUTS == node_topics()
    assert shown >= INPUTS


def test_rviz_receives_from_any_publisher():
    """A reliable subscriber would get nothing from a best-effort driver."""
    for display in displays()[1].values():
        if "Topic" in display:
            assert display["Topic"]["Reliability Policy"] == "Best Effort"
            assert display["Topic"]["Durability Policy"] == "Volatile"


def test_rviz_paints_what_moves_red():
    manager, found = displays()
    assert manager["Global Options"]["Fixed Frame"] == "odom"
    labelled = found["Labelled cloud"]
    assert labelled["Channel Name"] == "label"
    assert labelled["Color Transformer"] == "Intensity"
    assert not labelled["Use rainbow"]
    # Labels up to 2 have the one colour, 3 (moving) the other.
    assert (labelled["Min Intensity"], labelled["Max Intensity"]) == (2, 3)
    red, green, blue = map(int, labelled["Max Color"].split(";"))
    assert red > 4 * max(green, blue)
    assert found["Static cloud"]["Alpha"] < 0.3


def test_foxglove_shows_topics_that_exist():
    layout = json.loads((ROOT / "config" / "foxglove.json").read_text())
    panels = layout["configById"]
    topics = panels["3D!mos"]["topics"]
    assert set(topics) - INPUTS == node_topics()
    assert topics["/mos_node/labeled"]["colorField"] == "label"
    placed = re.findall(r'"((?:\w+)!\w+)"', json.dumps(layout["layout"]))
    assert sorted(placed) == sorted(panels)
