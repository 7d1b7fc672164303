"""The examples for Nav2 and SLAM name topics that the node has, and load where launch is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("nav2.launch.py", "slam.launch.py")


def outputs():
    """The node's cloud topics, as its code creates them."""
    text = (ROOT / "kdmos_ros" / "ros" / "outputs.py").read_text()
    return {f"/mos_node/{name}" for name in re.findall(r'PointCloud2, "~/(\w+)"', text)}


def topics(values):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from topics(value)
        elif key == "topic":
            yield value


def test_nav2_takes_what_stands_still_into_the_costmap_and_watches_what_moves():
    values = yaml.safe_load((ROOT / "config" / "nav2.yaml").read_text())
    assert outputs() == {"/mos_node/labeled", "/mos_node/moving", "/mos_node/static"}
    assert list(topics(values["costmap"])) == ["/mos_node/static"]
    assert list(topics(values["collision_monitor"])) == ["/mos_node/moving"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_names_topics_that_there_are(name):
    text = (ROOT / "launch" / name).read_text()
    named = set(re.findall(r"/mos_node/\w+", text))
    assert named and named <= outputs()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_starts_the_node_and_the_others(name):
    sources = pytest.importorskip("launch.launch_description_sources")
    actions = pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed")
    found = sources.get_launch_description_from_python_launch_file(str(ROOT / "launch" / name))
    kinds = [type(entity) for entity in found.entities]
    assert actions.Node in kinds
    assert any(kind.__name__ == "IncludeLaunchDescription" for kind in kinds)
    assert {a.name for a in found.get_launch_arguments()} >= {"cloud", "odom"}


PACKAGES = {
    "nav2.launch.py": ("nav2_costmap_2d", "nav2_collision_monitor", "nav2_lifecycle_manager"),
    "slam.launch.py": ("kiss_icp",),
}


@pytest.mark.ros
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    index = pytest.importorskip("ament_index_python.packages")
    pytest.importorskip("launch_ros", reason="launch_ros is not installed")
    for package in ("kdmos_ros", *PACKAGES[name]):
        try:
            index.get_package_prefix(package)
        except (LookupError, OSError):
            pytest.skip(f"the package {package} is not installed")

    from ros_harness import PATIENCE_S, environment

    command = ["timeout", str(PATIENCE_S), "ros2", "launch", "kdmos_ros", name]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    output = ended.stdout + ended.stderr
    assert "labelling /points with poses" in output
    assert "process has died" not in output, output
