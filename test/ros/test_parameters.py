import re

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.parameter import Parameter  # noqa: E402

from kdmos_ros.defaults import PARAMETERS, TIME_UNITS  # noqa: E402
from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.pointcloud.point_times import UNITS  # noqa: E402
from kdmos_ros.resources import share_dir  # noqa: E402
from kdmos_ros.ros.parameter_table import SPECS  # noqa: E402
from kdmos_ros.ros.parameters import Parameters  # noqa: E402

SPEC_OF = {spec.name: spec for spec in SPECS}


def test_the_table_has_every_default_once():
    assert sorted(spec.name for spec in SPECS) == sorted(PARAMETERS)
    assert set(TIME_UNITS) == {"auto", *UNITS}


@pytest.fixture(scope="module", autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.shutdown()


class Bench:
    def __init__(self, **overrides):
        given = [Parameter(name, value=value) for name, value in overrides.items()]
        self.node = rclpy.create_node("bench", parameter_overrides=given)
        self.configured = False
        try:
            self.parameters = Parameters(self.node, lambda: self.configured)
        except BaseException:
            self.node.destroy_node()
            raise

    def set(self, name, value):
        (result,) = self.node.set_parameters([Parameter(name, value=value)])
        return result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider", "gpu"),
        ("num_threads", -1),
        ("num_threads", 2.5),
        ("num_threads", "two"),
        ("base_to_lidar", "1 2"),
        ("base_to_lidar", [0.0] * 7),
        ("base_to_lidar", 5),
        ("cloud_reliability", "Reliable"),
        ("odom_reliability", ""),
        ("output_reliability", "maybe"),
        ("cloud_depth", 0),
        ("queue_size", 0),
        ("pose_timeout", -0.1),
        ("pose_timeout", float("nan")),
        ("pose_timeout", 1e9),
        ("pose_history", 0.0),
        ("pose_max_gap", 0.0),
        ("pose_max_jump", -1.0),
        ("intensity_scale", -1.0),
        ("max_points", 0),
        ("expected_rate", float("inf")),
        ("diagnostics_period", 0.0),
        ("autostart", "yes"),
        ("model", 3),
    ],
)
def test_wrong_values_are_refused_by_name(name, value):
    with pytest.raises(KdmosError, match=f"parameter '{name}'"):
        Bench(**{name: value})
    bench = Bench()
    before = bench.parameters[name]
    result = bench.set(name, value)
    assert not result.successful
    assert result.reason
    assert bench.parameters[name] == before


@pytest.mark.parametrize("name", ["pose_timeout", "max_points", "intensity_scale"])
def test_range_messages_name_the_parameter_at_run_time(name):
    result = Bench().set(name, type(SPEC_OF[name].default)(-5))
    assert name in result.reason


def test_right_values_are_taken():
    values = {
        "provider": "cpu", "num_threads": 2, "base_to_lidar": "0 0 1.73", "queue_size": 100,
        "pose_timeout": 1.5, "intensity_scale": 255.0, "cloud_reliability": "reliable",
        "autostart": False,
    }  # fmt: skip
    bench = Bench(**values)
    assert {name: bench.parameters[name] for name in values} == values


@pytest.mark.parametrize("value", [[0.0, 0.0, 1.73], [1, 2, 3], "0,0,1"])
def test_mount_may_be_text_or_list(value):
    assert list(Bench(base_to_lidar=value).parameters["base_to_lidar"]) == list(value)


@pytest.mark.parametrize("value", [True, False, "true", "false", "auto"])
def test_deskew_may_be_text_or_truth_value(value):
    bench = Bench(deskew=value)
    assert bench.parameters["deskew"] == value
    bench.configured = True
    assert bench.set("deskew", value=True).successful
    assert bench.set("deskew", value="auto").successful
    refused = bench.set("deskew", value="sometimes")
    assert refused.reason == ("parameter 'deskew': must be auto or true or false, got 'sometimes'")


def test_while_configured_only_live_parameters_change():
    bench = Bench()
    bench.configured = True
    for spec in SPECS:
        value = spec.default
        if spec.any_type:
            value = "1 2 3"
        elif spec.choices:
            value = next(choice for choice in spec.choices if choice != value)
        elif isinstance(value, bool):
            value = not value
        elif isinstance(value, str):
            value += "x"
        else:
            value += 1
        if spec.live:
            value = spec.default  # others may be refused for another reason
        result = bench.set(spec.name, value)
        assert result.successful == spec.live, spec.name
        if not spec.live:
            assert f"'{spec.name}' can only change while the node is unconfigured" in result.reason


def test_misspelt_parameters_are_pointed_out():
    lines = Bench(pose_timout=0.5, cloud_depth=7).parameters.unknown()
    assert len(lines) == 1
    assert "'pose_timout'" in lines[0]
    assert "did you mean 'pose_timeout'?" in lines[0]


def test_every_parameter_is_described():
    bench = Bench()
    for spec in SPECS:
        descriptor = bench.node.describe_parameter(spec.name)
        assert re.match(r"[A-Z].*[.)]$", descriptor.description), spec.name
        if isinstance(spec.default, float):
            assert descriptor.floating_point_range
        elif isinstance(spec.default, int) and not isinstance(spec.default, bool):
            assert descriptor.integer_range


def test_mapping_holds_exactly_the_declared_parameters():
    parameters = Bench().parameters
    assert list(parameters) == [spec.name for spec in SPECS]
    assert len(parameters) == len(SPECS)
    with pytest.raises(KeyError):
        parameters["no_such"]


def test_shipped_parameter_file_holds_all_defaults():
    content = yaml.safe_load((share_dir() / "config" / "mos.yaml").read_text())
    shipped = content["/**"]["ros__parameters"]
    assert shipped == {spec.name: spec.default for spec in SPECS}


def test_what_a_node_dumps_it_takes_back_whatever_its_state():
    bench = Bench(base_to_lidar=[0.0, 0.0, 1.5], cloud_depth=7, deskew=True)
    dump = dict(bench.parameters)
    for bench.configured in (False, True):
        for name, value in dump.items():
            assert bench.set(name, value).successful, name


@pytest.mark.parametrize("configured", [False, True])
def test_a_model_that_is_not_there_is_refused_in_any_state(configured):
    bench = Bench()
    bench.configured = configured
    result = bench.set("model", "no_such")
    assert not result.successful
    assert "parameter 'model': no model 'no_such'" in result.reason
