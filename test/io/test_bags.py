"""Reading and writing rosbag2 without ROS."""

import numpy as np
import pytest
import yaml
from drive_harness import (
    MOUNT,
    STEP_NS,
    cloud,
    drive_topics,
    points,
    pose,
    stamp,
    write_bag,
    write_drive,
)

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import POINT_CLOUD, BagError, BagFile, typestore
from kdmos_ros.io.bag_poses import chain
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.io.ground_truth import BagLabels, ground_truth_message
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses.pose_messages import POSE_TYPES


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
@pytest.mark.parametrize("by_file", [False, True])
def test_reads_both_storages(tmp_path, storage, by_file):
    bag = write_bag(tmp_path / "bag", drive_topics(), storage)
    path = next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")) if by_file else bag
    with BagReader(path) as reader:
        assert (reader.cloud_topic, reader.odom_topic) == ("/points", "/odom")
        frames = (reader.sensor_frame, reader.base_frame, reader.odom_frame)
        assert frames == ("lidar", "base_link", "odom")
        clouds = list(reader.clouds())
        assert reader.n_scans == len(clouds) == 3
        for i, (stamp_ns, message) in enumerate(clouds):
            assert stamp_ns == stamp(i)
            np.testing.assert_array_equal(decode(message).points, points(i))
        np.testing.assert_allclose(reader.poses.at(stamp(1) + STEP_NS // 2)[0, 3], 1.5)


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("MCAP", "STORAGE"), ("MCAP", "MESSAGE"), ("SQLITE3", "MESSAGE"), ("SQLITE3", "FILE")],
)
def test_reads_zstd(tmp_path, storage, compression):
    bag = write_bag(tmp_path / "bag", drive_topics(), storage, compression)
    with BagReader(bag) as reader:
        for i, (stamp_ns, message) in enumerate(reader.clouds()):
            assert stamp_ns == stamp(i)
            np.testing.assert_array_equal(decode(message).points, points(i))
        assert i == 2


@pytest.mark.parametrize("compress", [False, True])
def test_written_drive_comes_back(tmp_path, compress):
    bag = write_drive(tmp_path / "bag", n_scans=12, compress=compress)
    with BagReader(bag) as reader:
        np.testing.assert_allclose(reader.base_T_sensor, MOUNT, atol=1e-12)
        for i, (stamp_ns, message) in enumerate(reader.clouds()):
            assert stamp_ns == stamp(i)
            decoded = decode(message)
            np.testing.assert_array_equal(decoded.points, points(i))
            np.testing.assert_array_equal(decoded.intensity, np.linspace(0, 1, 50, dtype="f4"))
            np.testing.assert_allclose(reader.poses.at(stamp_ns), pose(i), atol=1e-12)
        assert i == 11


def test_clouds_come_in_the_order_of_their_stamps(tmp_path):
    topics = drive_topics(6)
    messages = [cloud(i) for i in (0, 2, 1, 3, 5, 4)]
    topics["/points"] = (POINT_CLOUD, [(stamp(k), m) for k, m in enumerate(messages)])
    with BagReader(write_bag(tmp_path / "bag", topics)) as reader:
        assert [s for s, _ in reader.clouds()] == [stamp(i) for i in range(6)]


def test_restarted_clock_is_kept_apart(tmp_path):
    order = [20, 21, 22, 0, 1, 2]
    topics = drive_topics()
    topics["/points"] = (POINT_CLOUD, [(stamp(k), cloud(i)) for k, i in enumerate(order)])
    with BagReader(write_bag(tmp_path / "bag", topics)) as reader:
        assert [s for s, _ in reader.clouds()] == [stamp(i) for i in order]


def test_mount_through_a_chain_in_both_directions():
    turn = transforms.make_transform(transforms.quaternion_to_matrix([0, 0, 1, 1]), [0, 0, 1])
    lift = transforms.make_transform(np.eye(3), [0, 2, 0])
    static = {("base", "mast"): turn, ("lidar", "mast"): lift, ("base", "camera"): np.eye(4)}
    np.testing.assert_allclose(
        chain(static, "base", "lidar"), turn @ transforms.invert(lift), atol=1e-12
    )
    np.testing.assert_array_equal(chain(static, "base", "base"), np.eye(4))
    assert chain(static, "base", "radar") is None


def test_labels_inside_a_bag(tmp_path):
    topics = drive_topics()
    labels = [np.arange(50, dtype=np.uint32) + (7 << 16) + i for i in range(3)]
    rows = [(stamp(i), ground_truth_message(stamp(i), "lidar", labels[i])) for i in (0, 2)]
    topics["/ground_truth"] = (POINT_CLOUD, rows)
    bag = write_bag(tmp_path / "bag", topics)
    with BagReader(bag) as reader:  # a cloud without x, y, z is no candidate
        assert reader.cloud_topic == "/points" and reader.has_ground_truth
    source = BagLabels(bag)
    np.testing.assert_array_equal(source.read(0, stamp(0), 50), labels[0])
    with pytest.raises(KdmosError, match="no labels for this scan"):
        source.read(1, stamp(1), 50)
    with pytest.raises(KdmosError, match="50 labels, but the scan has 51 points"):
        source.read(2, stamp(2), 51)
    source.close()


def test_nothing_is_left_of_a_bag_that_failed(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/points", POINT_CLOUD)
        bag.write("/points", stamp(0), cloud(0))
        raise RuntimeError("the disk is on fire")
    assert list(tmp_path.iterdir()) == []


def test_existing_bag_is_replaced_only_when_asked(tmp_path):
    bag = write_drive(tmp_path / "bag", n_scans=2)
    with pytest.raises(BagError, match="exists already"):
        write_drive(bag, n_scans=3)
    write_drive(bag, n_scans=3, overwrite=True)
    with BagReader(bag) as reader:
        assert reader.n_scans == 3
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_overwrite_spares_what_is_no_bag(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(BagError, match="is not a bag"):
        BagWriter(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


def test_metadata_is_what_ros2_bag_reads(tmp_path):
    bag = write_drive(tmp_path / "bag")
    info = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["storage_identifier"] == "mcap" and info["relative_file_paths"] == ["bag.mcap"]
    topics = {t["topic_metadata"]["name"]: t for t in info["topics_with_message_count"]}
    assert {name: t["message_count"] for name, t in topics.items()} == {
        "/tf_static": 1,
        "/points": 5,
        "/odom": 5,
    }
    for name, topic in topics.items():
        metadata = topic["topic_metadata"]
        assert metadata["type_description_hash"].startswith("RIHS01_")
        # Up to version 8 the profiles are YAML text inside the YAML.
        (qos,) = yaml.safe_load(metadata["offered_qos_profiles"])
        assert qos["durability"] == (1 if name == "/tf_static" else 2), "transient local"
        assert qos["reliability"] == 1


def test_bag_of_raw_messages(tmp_path):
    source = write_drive(tmp_path / "source")
    with BagFile(source) as bag, BagWriter(tmp_path / "copy") as copy:
        for topic in bag.topics:
            copy.add_topic(topic.name, topic.msgtype)
        for m in bag.messages():
            copy.write_raw(m.topic, m.stamp_ns, m.data)
    with BagFile(source) as a, BagFile(tmp_path / "copy") as b:
        assert sorted(map(bytes, (m.data for m in a.messages()))) == sorted(
            map(bytes, (m.data for m in b.messages()))
        )


def test_poses_of_the_lidar_itself_do_not_tell_its_mount(tmp_path):
    topics = drive_topics()
    del topics["/tf_static"]
    for _, message in topics["/odom"][1]:
        message.child_frame_id = "lidar"
    path = write_bag(tmp_path / "bag", topics)
    with BagReader(path) as bag:
        assert bag.mount is None
        np.testing.assert_array_equal(bag.base_T_sensor, np.eye(4))
    with BagReader(path, base_T_sensor=MOUNT) as bag:
        np.testing.assert_array_equal(bag.mount, MOUNT)
        np.testing.assert_array_equal(bag.base_T_sensor, np.eye(4))


def as_message(kind, odom, so_far):
    """The pose of an Odometry in a message of another type."""
    types, pose = typestore().types, odom.pose.pose
    p, q = pose.position, pose.orientation
    stamped = types["geometry_msgs/msg/PoseStamped"](odom.header, pose)
    if kind.endswith("Path"):
        return types[kind](odom.header, [*(so_far[-1].poses if so_far else []), stamped])
    if kind.endswith("TransformStamped"):
        shift = types["geometry_msgs/msg/Vector3"](p.x, p.y, p.z)
        moved = types["geometry_msgs/msg/Transform"](shift, q)
        return types[kind](odom.header, "base_link", moved)
    return stamped if kind.endswith("PoseStamped") else types[kind](odom.header, odom.pose)


@pytest.mark.parametrize("kind", POSE_TYPES[1:])
def test_poses_in_every_usual_message(tmp_path, kind):
    topics = drive_topics()
    messages = []
    for _, odom in topics["/odom"][1]:
        messages.append(as_message(kind, odom, messages))
    topics["/odom"] = (kind, [(stamp(i), message) for i, message in enumerate(messages)])
    with BagReader(write_bag(tmp_path / "bag", topics), odom_topic="/odom") as bag:
        assert (bag.odom_frame, bag.base_frame) == ("odom", "base_link")
        assert [stamp_ns for stamp_ns, _ in bag.odometry] == [stamp(i) for i in range(3)]
        for i, (_, found) in enumerate(bag.odometry):
            np.testing.assert_allclose(found, pose(i))
        np.testing.assert_array_equal(bag.base_T_sensor, MOUNT)
