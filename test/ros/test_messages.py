import numpy as np
import pytest
from cloud_harness import LAYOUTS, make_cloud

pytest.importorskip("sensor_msgs", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Header

from kdmos_ros.pointcloud.codec import append_label, decode, subset
from kdmos_ros.poses.pose_messages import frame_of, place_of, stamp_ns
from kdmos_ros.ros.messages import cloud_message


def test_stamps_are_exact():
    assert stamp_ns(Time(sec=1_700_000_000, nanosec=999_999_999)) == 1_700_000_000_999_999_999


def test_leading_slash_goes():
    assert frame_of("/velodyne") == frame_of("velodyne") == "velodyne"


def test_zero_quaternion_is_no_pose():
    message = PoseStamped()
    message.pose.orientation.w = 0.0
    with pytest.raises(ValueError, match="not a rotation"):
        place_of(message)


def test_nan_position_is_no_pose():
    message = PoseStamped()
    message.pose.position.x = float("nan")
    with pytest.raises(ValueError, match="not a position"):
        place_of(message)


def test_pose():
    message = PoseStamped()
    message.pose.position.y = 2.0
    message.pose.orientation.z = message.pose.orientation.w = 1.0  # of any length
    expected = [[0, -1, 0, 0], [1, 0, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(place_of(message), expected, atol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("big_endian", [False, True])
def test_clouds_survive_the_way_through_a_message(layout, big_endian):
    source, _ = make_cloud(layout, padding=3, big_endian=big_endian)
    n = source.height * source.width
    labels = (np.arange(n) % 4).astype(np.uint8)
    packed = append_label(source, labels, np.zeros(n, np.float32))
    header = Header(frame_id="lidar")
    message = cloud_message(header, packed)
    assert message.header is header
    assert bytes(message.data) == packed.data.tobytes()
    assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
        (f.name, f.offset, f.datatype, f.count) for f in packed.fields
    ]
    assert (message.height, message.width) == (source.height, source.width)
    assert (message.point_step, message.row_step) == (packed.point_step, packed.row_step)
    assert (message.is_bigendian, message.is_dense) == (big_endian, source.is_dense)
    np.testing.assert_array_equal(decode(message).points, decode(source).points)


def test_empty_subset():
    source, _ = make_cloud()
    message = cloud_message(Header(), subset(source, np.zeros(50, bool)))
    assert (message.width, message.height, len(message.data)) == (0, 1, 0)
