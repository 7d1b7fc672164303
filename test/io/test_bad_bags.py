"""What is wrong with a bag is said in one line that names it."""

import re

import numpy as np
import pytest
from drive_harness import (
    MOUNT,
    drive_topics,
    odometry,
    stamp,
    write_bag,
    write_drive,
)

from kdmos_ros.io.bag_file import POINT_CLOUD, BagError
from kdmos_ros.io.bag_reader import BagReader


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_missing_bag(tmp_path):
    with pytest.raises(BagError) as error:
        BagReader(tmp_path / "nothing")
    assert "no such bag" in one_line(error)


@pytest.mark.parametrize("name", ["notes.txt", "old.bag"])
def test_other_files_are_no_bags(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(BagError, match=name.replace(".", r"\.")) as error:
        BagReader(tmp_path / name)
    assert "cannot read bag" in one_line(error) or "not a rosbag2" in one_line(error)


def test_folder_around_the_bag_is_named(tmp_path):
    write_drive(tmp_path / "clip" / "bag")
    with pytest.raises(BagError) as error:
        BagReader(tmp_path / "clip")
    assert "did you mean" in one_line(error) and "clip/bag" in one_line(error)


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


@pytest.mark.parametrize("spoil", ["quaternion", "nan"])
def test_broken_odometry_is_left_out_and_counted(tmp_path, spoil):
    """As the node does."""
    topics = drive_topics()
    broken = odometry(3)
    if spoil == "quaternion":
        broken.pose.pose.orientation.w = 0.0
    else:
        broken.pose.pose.position.y = float("nan")
    topics["/odom"][1].append((stamp(3), broken))
    with BagReader(write_bag(tmp_path / "bag", topics)) as bag:
        assert len(bag.odometry) == 3
        (note,) = bag.notes
        assert re.match(r"1 broken pose of /odom ignored \(.*not a ", note)


def test_registered_clouds_are_named_with_the_remedy(tmp_path):
    topics = drive_topics()
    for _, message in topics["/points"][1]:
        message.header.frame_id = "odom"
    with pytest.raises(
        BagError, match=r"registered already.*the LiDAR's own frame.*--cloud"
    ) as error:
        BagReader(write_bag(tmp_path / "bag", topics))
    one_line(error)
