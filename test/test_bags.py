"""Reading and writing rosbag2 without ROS."""

import numpy as np
import pytest
import yaml
from drives import (
    MOUNT,
    START_NS,
    STEP_NS,
    cloud,
    odometry,
    points,
    pose,
    stamp,
    write_bag,
    write_drive,
)

from kdmos_ros import geometry
from kdmos_ros.cloud import decode
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, TF, BagError, BagFile
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.io.bags import BagReader, chain
from kdmos_ros.io.ground_truth import BagLabels, ground_truth_message
from kdmos_ros.io.messages import transform_message


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def drive_topics(n: int = 3) -> dict:
    return {
        "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(n)]),
        "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(n)]),
        "/tf_static": (TF, [(START_NS, transform_message(0, "base_link", "lidar", MOUNT))]),
    }


# What is wrong with a bag


def test_missing_bag(tmp_path):
    with pytest.raises(BagError) as error:
        BagReader(tmp_path / "nothing")
    assert "no such bag" in one_line(error)


@pytest.mark.parametrize("name", ["notes.txt", "old.bag"])
def test_other_files_are_no_bags(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(BagError, match=name.replace(".", r"\.")) as error:
        BagReader(tmp_path / name)
    assert "ROS 1" in one_line(error) or "not a rosbag2" in one_line(error)


def test_folder_around_the_bag_is_named(tmp_path):
    write_drive(tmp_path / "clip" / "bag")
    with pytest.raises(BagError) as error:
        BagReader(tmp_path / "clip")
    assert "did you mean" in one_line(error) and "clip/bag" in one_line(error)


@pytest.mark.parametrize("text", ["", "{", "a: 1", "rosbag2_bagfile_information: 7"])
def test_broken_metadata(tmp_path, text):
    bag = write_drive(tmp_path / "bag")
    (bag / "metadata.yaml").write_text(text)
    with pytest.raises(BagError, match="cannot read bag"):
        BagReader(bag)


@pytest.mark.parametrize("keep", [0, 5, 40, 0.3, 0.9])
@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_truncated_file(tmp_path, storage, keep):
    bag = write_bag(tmp_path / "bag", drive_topics(), storage)
    file = next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(BagError) as error, BagReader(bag) as reader:
        list(reader.clouds())
    assert str(bag) in one_line(error)


def test_damage_in_the_middle_is_found_when_read(tmp_path):
    bag = write_drive(tmp_path / "bag", n_scans=40, n_points=5000)
    file = bag / "bag.mcap"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    file.write_bytes(data)
    with pytest.raises(BagError, match="damaged"), BagReader(bag) as reader:
        list(reader.clouds())


def test_topic_that_is_not_there(tmp_path):
    bag = write_drive(tmp_path / "bag")
    with pytest.raises(BagError) as error:
        BagReader(bag, cloud_topic="/velodyne_points")
    text = one_line(error)
    assert "/velodyne_points" in text and f"/points ({POINT_CLOUD})" in text


def test_topic_of_another_type(tmp_path):
    with pytest.raises(BagError, match=r"/odom is nav_msgs/msg/Odometry, not sensor_msgs"):
        BagReader(write_drive(tmp_path / "bag"), cloud_topic="/odom")


@pytest.mark.parametrize("gone", ["/points", "/odom"])
def test_no_topic_of_the_type(tmp_path, gone):
    topics = drive_topics()
    msgtype = topics.pop(gone)[0]
    with pytest.raises(BagError, match=f"no {msgtype} topic"):
        BagReader(write_bag(tmp_path / "bag", topics))


@pytest.mark.parametrize("empty", ["/points", "/odom"])
def test_topic_without_messages(tmp_path, empty):
    topics = drive_topics()
    topics[empty] = (topics[empty][0], [])
    with pytest.raises(BagError, match=f"no messages on {empty}"):
        BagReader(write_bag(tmp_path / "bag", topics))


def test_two_topics_must_be_chosen_from(tmp_path):
    topics = drive_topics()
    topics["/rear/points"] = topics["/points"]
    bag = write_bag(tmp_path / "bag", topics)
    with pytest.raises(BagError) as error:
        BagReader(bag)
    text = one_line(error)
    assert "--cloud" in text and "/points" in text and "/rear/points" in text
    with BagReader(bag, cloud_topic="rear/points") as reader:
        assert reader.cloud_topic == "/rear/points"


def test_unknown_mount_needs_the_option(tmp_path):
    topics = drive_topics()
    del topics["/tf_static"]
    bag = write_bag(tmp_path / "bag", topics)
    with pytest.raises(BagError, match=r"'base_link' to 'lidar' .* --base-to-lidar"):
        BagReader(bag)
    with BagReader(bag, base_T_sensor=MOUNT) as reader:
        np.testing.assert_array_equal(reader.base_T_sensor, MOUNT)


def test_odometry_with_a_zero_quaternion(tmp_path):
    topics = drive_topics()
    broken = odometry(3)
    broken.pose.pose.orientation.w = 0.0
    topics["/odom"][1].append((stamp(3), broken))
    with pytest.raises(BagError, match=r"/odom at .* not a rotation"):
        BagReader(write_bag(tmp_path / "bag", topics))


# What is right


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
    turn = geometry.make_transform(geometry.quaternion_to_matrix([0, 0, 1, 1]), [0, 0, 1])
    lift = geometry.make_transform(np.eye(3), [0, 2, 0])
    static = {("base", "mast"): turn, ("lidar", "mast"): lift, ("base", "camera"): np.eye(4)}
    np.testing.assert_allclose(
        chain(static, "base", "lidar"), turn @ geometry.invert(lift), atol=1e-12
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


# Writing


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
