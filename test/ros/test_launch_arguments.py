"""Arguments of the launch files that cannot be meant end `ros2 launch` with one line."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from kdmos_ros.errors import KdmosError
from kdmos_ros.ros import launch_arguments as check


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("1", True),
                                             (" no ", False), ("on", True)])  # fmt: skip
def test_a_truth_value_is_read(text, value):
    assert check.truth("rviz", text) is value


@pytest.mark.parametrize("text", ["yess", "", "2", "maybe", "t"])
def test_what_is_no_truth_value_is_an_error(text):
    with pytest.raises(KdmosError, match=f"rviz must be true or false, got '{text}'"):
        check.truth("rviz", text)


@pytest.mark.parametrize("text", ["loud", "", "infos"])
def test_log_levels_are_those_of_ros(text):
    assert check.log_level("WARN") == "warn"
    with pytest.raises(KdmosError, match="log_level must be one of debug, info"):
        check.log_level(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("deskew", "true", "true"), ("lookahead", "7", 7), ("autostart", "no", False),
     ("base_to_lidar", "0 0 1.73", "0 0 1.73"), ("model", "kdmos_s", "kdmos_s")],
)  # fmt: skip
def test_a_parameter_has_the_type_that_the_node_wants(name, text, value):
    assert check.parameter(name, text) == value
    assert type(check.parameter(name, text)) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("deskew", "yess", "'deskew': must be auto or true or false"),
     ("autostart", "perhaps", "autostart must be true or false"),
     ("provider", "gpu", "'provider' must be one of auto, cpu"),
     ("pose_source", "TF", "'pose_source' must be one of"),
     ("lookahead", "8", "lookahead must be 0 to 7, got '8'"),
     ("lookahead", "-1", "lookahead must be 0 to 7"),
     ("lookahead", "two", "lookahead must be 0 to 7"),
     ("base_to_lidar", "up", "'base_to_lidar': needs 3, 6 or 7 numbers"),
     ("model", "no_such", "no model 'no_such'")],
)  # fmt: skip
def test_a_parameter_that_the_node_would_refuse_is_refused_at_once(name, text, words):
    with pytest.raises(KdmosError, match=words):
        check.parameter(name, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "params_file: no file '.*parameters.yaml'"), ("a: [\n", "cannot be read: while pars"),
     ("- 1\n", "needs node names"), ("pose_timeout: 1.0\n", "needs node names"),
     ("\x00", "cannot be read")],
)  # fmt: skip
def test_a_parameter_file_that_cannot_be_used(tmp_path, text, words):
    path = tmp_path / "parameters.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KdmosError, match=words) as error:
        check.parameter_file(str(path), "/mos_node")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "reaches"),
    [(["/**"], True), (["/front/mos_node"], True), (["front", "mos_node"], True),
     (["/*/mos_node"], True), (["/**", "mos_node"], True), (["mos_node"], False),
     (["/front/mos_nod"], False), (["rear", "mos_node"], False), (["/*"], False)],
)  # fmt: skip
def test_parameters_that_are_not_for_the_node_are_pointed_out(tmp_path, names, reaches):
    path = tmp_path / "parameters.yaml"
    indented = [
        f"{'  ' * depth}{name}:\n" for depth, name in enumerate([*names, "ros__parameters"])
    ]
    path.write_text("".join(indented) + "  " * (len(names) + 1) + "pose_timeout: 1.0\n")
    found, warning = check.parameter_file(str(path), "/front/mos_node")
    assert found == path
    assert bool(warning) != reaches
    if warning:
        assert "none of /front/mos_node" in warning and "write them under '/**:'" in warning


@pytest.mark.parametrize("kind", ["nothing", "empty folder", "other file"])
def test_a_bag_that_is_not_there_is_said_before_anything_starts(tmp_path, kind):
    path = tmp_path / "bag"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "other file":
        path.write_text("hello")
    with pytest.raises(KdmosError, match=f"bag: no.*'{path}'"):
        check.bag(str(path))


@pytest.mark.parametrize("name", ["metadata.yaml", "drive_0.mcap", "drive_0.db3"])
def test_a_bag_is_a_folder_or_a_file_of_one(tmp_path, name):
    (tmp_path / name).touch()
    assert check.bag(str(tmp_path)) == str(tmp_path)
    assert check.bag(str(tmp_path / name)) == str(tmp_path / name)


def test_misspelt_arguments_are_pointed_out_once():
    words = ["clouds:=/x", "clouds:=/y", "rviz:=true", "--debug", "quite_other:=1"]
    assert check.unknown(words, ("cloud", "rviz")) == [
        "there is no launch argument 'clouds': it is ignored; did you mean 'cloud'?",
        "there is no launch argument 'quite_other': it is ignored",
    ]
