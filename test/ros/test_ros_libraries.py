"""Our own transforms and clouds against ROS's Python libraries, where those are installed."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cloud_harness import make_cloud

pytest.importorskip("sensor_msgs", reason="ROS 2 is not installed")

from std_msgs.msg import Header

from kdmos_ros.geometry.transforms import from_pose, quaternion_to_matrix
from kdmos_ros.pointcloud.codec import append_label, decode, subset
from kdmos_ros.ros import compat
from kdmos_ros.ros.compat import quaternion_from_matrix
from kdmos_ros.ros.messages import cloud_message


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_quaternion_is_that_of_the_rotation(rng):
    """Whichever library is behind it."""
    for _ in range(50):
        pose = from_pose(rng.normal(size=3), rng.normal(size=4))
        found = quaternion_to_matrix(quaternion_from_matrix(pose))
        np.testing.assert_allclose(found, pose[:3, :3], atol=1e-9)


class Broken:
    """A tf_transformations whose transforms3d fails on the numpy that is there."""

    def __getattr__(self, name):
        raise TypeError("numpy is too new")


@pytest.mark.parametrize(
    ("library", "used"),
    [
        (SimpleNamespace(quaternion_from_matrix=lambda matrix: "theirs"), True),
        (None, False),
        (Broken(), False),
    ],
    ids=["installed", "absent", "broken"],
)
def test_tf_transformations_is_used_where_it_works(monkeypatch, library, used):
    monkeypatch.setitem(sys.modules, "tf_transformations", library)
    spec = importlib.util.spec_from_file_location("fresh_compat", compat.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    found = fresh.quaternion_from_matrix(np.eye(4))
    assert (found == "theirs") if used else np.allclose(found, [0, 0, 0, 1])


def test_rotations_agree_with_tf_transformations(rng):
    tf_transformations = pytest.importorskip(
        "tf_transformations", reason="tf_transformations is not installed"
    )
    for _ in range(50):
        q = rng.normal(size=4)
        expected = tf_transformations.quaternion_matrix(q / np.linalg.norm(q))
        np.testing.assert_allclose(from_pose([0, 0, 0], q), expected, atol=1e-12)


@pytest.mark.parametrize("layout", ["kitti", "velodyne", "hesai", "livox", "autoware_xyzircaedt"])
def test_clouds_agree_with_sensor_msgs_py(layout):
    """Without row padding and of one row; beyond that the library reads wrongly."""
    point_cloud2 = pytest.importorskip(
        "sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not installed"
    )
    cloud, truth = make_cloud(layout)
    n = len(truth["x"])
    labels = (np.arange(n) % 4).astype(np.uint8)
    probability = np.linspace(0, 1, n, dtype=np.float32)
    labelled = point_cloud2.read_points(
        cloud_message(Header(), append_label(cloud, labels, probability))
    )
    np.testing.assert_array_equal(labelled["label"], labels)
    np.testing.assert_array_equal(labelled["moving_probability"], probability)
    moving = point_cloud2.read_points(cloud_message(Header(), subset(cloud, labels == 3)))
    points = decode(cloud).points
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(labelled[name], points[:, axis])
        np.testing.assert_array_equal(moving[name], points[labels == 3, axis])
