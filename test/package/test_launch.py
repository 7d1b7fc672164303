"""The launch files, run by the real launch where it is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")
pytest.importorskip("launch_testing", reason="launch_testing is not installed")
packages = pytest.importorskip("ament_index_python.packages")

try:
    packages.get_package_prefix("kdmos_ros")
except LookupError:
    pytest.skip("kdmos_ros is not in the ament index: build it with colcon first",
                allow_module_level=True)  # fmt: skip

from drive_harness import write_drive  # noqa: E402
from ros_harness import PATIENCE_S, environment  # noqa: E402

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]


def arguments_of(name):
    """Declared launch arguments: name -> DeclareLaunchArgument."""
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    file = ROOT / "launch" / name
    description = get_launch_description_from_python_launch_file(str(file))
    return {argument.name: argument for argument in description.get_launch_arguments()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "mos.launch.py",
            {"cloud", "odom", "sensor", "model", "provider", "pose_source", "bag", "rviz",
             "lookahead", "use_sim_time", "namespace", "params_file", "log_level", "autostart"},
        ),
        ("train.launch.py", {"recipe", "data", "work", "out", "stage"}),
    ],
)  # fmt: skip
def test_every_argument_is_documented(name, expected):
    found = arguments_of(name)
    assert set(found) >= expected
    assert all(len(argument.description) > 10 for argument in found.values())


def mos_launch():
    """The launch file as a module."""
    spec = importlib.util.spec_from_file_location("mos_launch", ROOT / "launch" / "mos.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("installed", [False, True])
def test_a_bag_is_played_by_what_is_there(monkeypatch, installed):
    module = mos_launch()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name: installed or None if name == "ros2bag" else find_spec(name),
    )  # fmt: skip
    command = module.play_command()
    if installed:
        assert command == ["ros2", "bag", "play"]
    else:
        assert (Path(command[0]).name, *command[1:]) == ("kdmos", "play")


@pytest.mark.parametrize(
    ("given", "frame"),
    [
        ({}, None),
        ({"fixed_frame": "world"}, "world"),
        ({"fixed_frame": "world", "rviz_frame": "velodyne"}, "velodyne"),
    ],
)
def test_rviz_shows_the_frame_and_topics_in_use(given, frame):
    """RViz is started with our arguments; that its binary is there is not needed for this."""
    from launch_ros.actions import Node

    from launch import LaunchContext

    module = mos_launch()
    context = LaunchContext()
    defaults = {name: default for name, (default, _) in module.ARGUMENTS.items()}
    context.launch_configurations.update(
        {**defaults, "rviz": "true", "namespace": "front", "cloud": "/lidar", **given}
    )
    actions = module.start(context)
    (rviz,) = [a for a in actions if isinstance(a, Node) and a.node_package == "rviz2"]
    words = ["".join(part.text for part in word if hasattr(part, "text")) for word in rviz.cmd]
    assert words[words.index("-d") + 1].endswith("config/mos.rviz")
    assert (words[words.index("-f") + 1] if "-f" in words else None) == frame
    found = {
        tuple("".join(part.text for part in side) for side in pair)
        for pair in rviz._Node__remappings
    }
    assert ("/points", "/lidar") in found
    assert ("/mos_node/labeled", "/front/mos_node/labeled") in found


def run(*command, **variables):
    result = subprocess.run(
        [sys.executable, *command], env={**environment(), **variables}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3 * PATIENCE_S,
    )  # fmt: skip
    return result.returncode, result.stdout


def test_node_labels_a_bag(tiny_model, tmp_path):
    bag = write_drive(tmp_path / "bag", n_scans=60, n_points=2000)
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    queue_size: 100\n    diagnostics_period: 0.2\n"
    )
    code, output = run(
        "-m", "launch_testing.launch_test", str(ROOT / "test" / "launch" / "labels_a_bag.py"),
        KDMOS_TEST_BAG=str(bag), KDMOS_TEST_MODEL=str(tiny_model),
        KDMOS_TEST_PARAMETERS=str(parameters), PYTHONUNBUFFERED="1",
    )  # fmt: skip
    assert code == 0, output


@pytest.mark.parametrize("state", ["inactive", "active"])
def test_the_bag_waits_for_the_state_of_the_node(state):
    """Not for words in a log; and not for an event, which may come before launch listens."""
    from lifecycle_msgs.msg import State
    from lifecycle_msgs.srv import GetState

    from launch import LaunchContext

    number = getattr(State, f"PRIMARY_STATE_{state.upper()}")
    answer = SimpleNamespace(
        done=lambda: True,
        result=lambda: GetState.Response(current_state=State(id=number)),
    )
    module = mos_launch()
    wait = module.WaitUntilActive(SimpleNamespace(node_name="/front/mos_node"), ["player"])
    wait._client = SimpleNamespace(service_is_ready=lambda: True, call_async=lambda request: answer)
    assert wait(LaunchContext()) != ["player"], "nothing was asked yet"
    found = wait(LaunchContext())
    assert (found == ["player"]) == (state == "active")
    wait.give_up()
    assert wait(LaunchContext()) is None


RUN_LAUNCH_FILE = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
source = PythonLaunchDescriptionSource(sys.argv[1])
values = [tuple(word.split(':=', 1)) for word in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:])
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(source, launch_arguments=values)]))
sys.exit(service.run())
"""


def launch(name, *arguments):
    """Exit status and output of a launch file, run as `ros2 launch` does."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return run("-c", RUN_LAUNCH_FILE, str(ROOT / "launch" / name), *arguments, PATH=path)


@pytest.mark.parametrize(
    "argument",
    ["deskew:=yess", "rviz:=maybe", "use_sim_time:=2", "params_file:=/no/such.yaml",
     "bag:=/no/such", "log_level:=loud", "provider:=gpu", "sensor:=velodin", "model:=no_such"],
)  # fmt: skip
def test_an_argument_that_cannot_be_meant_ends_launch_with_one_line(argument):
    code, output = launch("mos.launch.py", argument)
    assert code == 1, output
    (line,) = [line for line in output.splitlines() if "[ERROR]" in line]
    name, value = argument.split(":=")
    assert value in line and name in line, line
    assert "Traceback" not in output and "process started" not in output


def test_arguments_that_there_are_not_are_named():
    code, output = launch("mos.launch.py", "clouds:=/lidar", "log_level:=loud")
    assert code == 1
    assert "no launch argument 'clouds': it is ignored; did you mean 'cloud'?" in output


@pytest.mark.slow
def test_training_says_what_is_wrong_and_ends_with_an_error(tmp_path):
    values = f"work:={tmp_path / 'work'}", f"out:={tmp_path / 'out'}"
    code, output = launch("train.launch.py", f"recipe:={tmp_path / 'none.yaml'}", *values)
    assert code == 1, output
    assert "none.yaml" in output
    assert "kdmos: error:" in output
    assert "kdmos train failed, exit status 2" in output
