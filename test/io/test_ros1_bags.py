"""The .bag files of ROS 1 are read as drives."""

import numpy as np
import pytest
from drive_harness import MOUNT, drive_topics, points, pose, stamp
from label_harness import content, label

from kdmos_ros.io.bag_file import typestore
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling.job import Target
from kdmos_ros.pointcloud.codec import decode


@pytest.fixture
def bag(tmp_path):
    """A drive, and a topic of a type that is not known."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    old, new = get_typestore(Stores.ROS1_NOETIC), typestore()
    transforms = "geometry_msgs/TransformStamped[] transforms"
    old.register(get_types_from_msg(transforms, "tf2_msgs/msg/TFMessage"))
    topics = drive_topics(4)
    with Writer(tmp_path / "old.bag") as writer:
        connections = {
            t: writer.add_connection(t, k, typestore=old) for t, (k, _) in topics.items()
        }
        vendor = writer.add_connection(
            "/status", "vendor/msg/Status", msgdef="uint8 value\n", md5sum="0" * 32
        )
        rows = [(time, t, k, m) for t, (k, messages) in topics.items() for time, m in messages]
        for time, topic, kind, message in sorted(rows, key=lambda row: row[0]):
            raw = new.cdr_to_ros1(new.serialize_cdr(message, kind), kind)
            assert old.serialize_ros1(old.deserialize_ros1(raw, kind), kind) == raw
            writer.write(connections[topic], time, raw)
        writer.write(vendor, stamp(1), b"\1")
    return tmp_path / "old.bag"


def test_clouds_poses_and_mount(bag):
    with BagReader(bag) as reader:
        np.testing.assert_allclose(reader.base_T_sensor, MOUNT, atol=1e-12)
        found = list(reader.clouds())
        assert reader.n_scans == len(found) == 4
        for i, (stamp_ns, message) in enumerate(found):
            assert stamp_ns == stamp(i)
            np.testing.assert_array_equal(decode(message).points, points(i))
            np.testing.assert_allclose(reader.poses.at(stamp_ns), pose(i), atol=1e-12)


def test_labelled_as_a_bag_of_ros_2(bag, tmp_path, caplog):
    label(bag, Target(tmp_path / "out"))
    found = content(tmp_path / "out")
    assert {t: len(m) for t, m in found.items()} == {
        "/points": 4, "/odom": 4, "/tf_static": 1, "/mos_node/labeled": 4
    }  # fmt: skip
    assert any("/status (vendor/msg/Status, 1 messages)" in r.getMessage() for r in caplog.records)
