"""The shipped parameter files of sensors: all apply to the node, and read their drivers' clouds."""

import re

import numpy as np
import pytest
import yaml
from cloud_harness import LAYOUTS, make_cloud

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import CloudError, KdmosError
from kdmos_ros.pointcloud.cloud_reader import read_cloud
from kdmos_ros.pointcloud.sensor_files import sensor_file, sensor_names, sensor_options
from kdmos_ros.resources import share_dir

NAMES = ["autoware", "generic", "hesai", "livox", "ouster", "robosense", "sick", "velodyne"]
STAMP_NS = 1_700_000_123_400_000_000
STAMP_S = STAMP_NS * 1e-9
N = 48
SWEEP = np.linspace(0, 0.1, N)


def values_of(name):
    content = yaml.safe_load(sensor_file(name).read_text())
    assert list(content) == ["/**"]
    assert list(content["/**"]) == ["ros__parameters"]
    return content["/**"]["ros__parameters"]


# -- choosing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["velodine", "", "../mos", "Ouster"])
def test_unknown_sensor_lists_those_there_are(name):
    with pytest.raises(KdmosError) as caught:
        sensor_file(name)
    assert all(known in str(caught.value) for known in NAMES)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(KdmosError, match=r"mine\.yaml"):
        sensor_file(str(tmp_path / "mine.yaml"))


def test_a_file_of_ones_own(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("/**: {ros__parameters: {min_range: 1.0}}\n")
    assert sensor_file(str(own)) == own


def test_names_are_those_of_the_files():
    assert sensor_names() == NAMES
    assert all(sensor_file(name).is_file() for name in NAMES)


# -- content -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_file_goes_on_top_of_the_nodes_parameters(name):
    """As launch does it: mos.yaml first, then the sensor's file."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from kdmos_ros.ros.parameter_table import SPECS
    from kdmos_ros.ros.parameters import Parameters

    files = share_dir() / "config" / "mos.yaml", sensor_file(name)
    options = [word for path in files for word in ("--params-file", str(path))]
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", *options], context=context)
    try:
        node = rclpy.create_node("bench", context=context)
        parameters = Parameters(node, lambda: False)
        assert parameters.unknown() == []
        defaults = {spec.name: spec.default for spec in SPECS}
        assert dict(parameters) == {**defaults, **values_of(name)}
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_those_of_reading_a_cloud(name):
    values = values_of(name)
    assert sensor_options(name) == {k: v for k, v in values.items() if k in CLOUD_OPTIONS}
    assert "expected_rate" not in sensor_options(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read"),
        ("", "ros__parameters"),
        ("[1]", "ros__parameters"),
        ("/**: {parameters: {}}", "ros__parameters"),
        ("/**: {ros__parameters: {min_range: 1}}", "min_range must be float, got 1"),
        ("/**: {ros__parameters: {deskew: 1}}", "deskew must be auto or true or false, got 1"),
        (
            "/**: {ros__parameters: {deskew: 'yes'}}",
            "deskew must be auto or true or false, got 'yes'",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(KdmosError, match=re.escape(message)) as caught:
        sensor_options(str(path))
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode"), [("true", "true"), ("false", "false"), ("auto", "auto"), ("'true'", "true")]
)
def test_deskew_may_be_text_or_truth_value(tmp_path, text, mode):
    path = tmp_path / "mine.yaml"
    path.write_text(f"/**: {{ros__parameters: {{deskew: {text}}}}}\n")
    assert sensor_options(str(path)) == {"deskew": mode}


# layout of the driver, time as it writes it, field that intensity is read from
DRIVERS = {
    "velodyne": ("velodyne", {"time": SWEEP - 0.1}, SWEEP - 0.1, "intensity"),
    "ouster": ("ouster_organised", {"t": SWEEP * 1e9}, SWEEP, "reflectivity"),
    "hesai": ("hesai", {"timestamp": STAMP_S + SWEEP}, SWEEP, "intensity"),
    "robosense": ("robosense", {"timestamp": STAMP_S + SWEEP}, SWEEP, "intensity"),
    "livox": ("livox", {"timestamp": STAMP_NS + SWEEP * 1e9}, SWEEP, "intensity"),
    "autoware": ("autoware_xyzircaedt", {"time_stamp": SWEEP * 1e9}, SWEEP, "intensity"),
    "sick": ("sick_multiscan", {"t": SWEEP * 1e9}, SWEEP, "i"),
    "generic": ("kitti", {}, None, "intensity"),
}
FULL_SCALE = {"generic": 1, "sick": 65535}


@pytest.mark.parametrize("name", NAMES)
def test_clouds_of_the_driver_are_read(name):
    layout, times, expected, intensity = DRIVERS[name]
    scale = FULL_SCALE.get(name, 255)
    raw = np.linspace(0, scale, N)
    values = {**times, intensity: raw, "x": np.linspace(2, 60, N)}
    message, truth = make_cloud(layout, width=N // LAYOUTS[layout][1], values=values)
    options = {**CLOUD_OPTIONS, **values_of(name), "deskew": expected is not None}
    _, cloud, read, _ = read_cloud(message, STAMP_NS, options)
    np.testing.assert_array_equal(cloud.points[:, 0], truth["x"].astype(np.float32))
    np.testing.assert_allclose(cloud.intensity, truth[intensity] / scale, atol=1e-6)
    assert cloud.saturated == 0
    if expected is not None:
        np.testing.assert_allclose(read.seconds, expected, atol=5e-7)


@pytest.mark.parametrize(
    ("name", "layout"), [("autoware", "autoware_xyzirc"), ("livox", "livox_avia")]
)
def test_layouts_without_times_are_read_but_not_deskewed(name, layout):
    message, _ = make_cloud(layout)
    options = {**CLOUD_OPTIONS, **values_of(name)}
    found = read_cloud(message, STAMP_NS, options)
    assert found.cloud.intensity is not None
    assert found.times is None
    assert found.untimed.reason == "no_point_time"
    with pytest.raises(CloudError, match=options["time_field"]) as caught:
        read_cloud(message, STAMP_NS, {**options, "deskew": True})
    assert caught.value.reason == "no_point_time"
