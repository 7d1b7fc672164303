"""Livox's CustomMsg in bags is a cloud like any other."""

import sqlite3

import numpy as np
import pytest
from drive_harness import MOUNT, drive_topics, points, stamp, write_bag
from label_harness import content, decoded, label

from kdmos_ros.io.bag_file import POINT_CLOUD, BagError, RawMessage, decode_cdr, typestore
from kdmos_ros.io.bag_messages import header
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling import job
from kdmos_ros.labelling.job import Target
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import read_layout
from kdmos_ros.pointcloud.livox import (
    CUSTOM_MESSAGES,
    MESSAGE_DEFINITION,
    POINT_DEFINITION,
    has_known_points,
    read_custom_message,
)
from kdmos_ros.pointcloud.point_times import TimeFormat, read_point_times

N = 50
OFFSETS = np.arange(N, dtype=np.uint32) * 2_000_000


def custom(index, msgtype=CUSTOM_MESSAGES[0], frame="lidar", n=N):
    types = typestore().types
    point = types[msgtype.replace("CustomMsg", "CustomPoint")]
    rows = [
        point(int(t), *(float(v) for v in xyz), k, 16, k % 4)
        for k, (t, xyz) in enumerate(zip(OFFSETS, points(index)[:n], strict=False))
    ]
    at = header(stamp(index), frame)
    return types[msgtype](at, stamp(index), len(rows), 1, np.zeros(3, np.uint8), rows)


def livox_topics(msgtype=CUSTOM_MESSAGES[0], n=3):
    topics = drive_topics(n)
    del topics["/points"]
    topics["/livox/lidar"] = (msgtype, [(stamp(i), custom(i, msgtype)) for i in range(n)])
    return topics


@pytest.mark.parametrize("msgtype", CUSTOM_MESSAGES)
@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_points_intensity_and_times(tmp_path, storage, msgtype):
    bag = write_bag(tmp_path / "bag", livox_topics(msgtype), storage)
    if storage == "SQLITE3":
        with sqlite3.connect(bag / "bag.db3") as database:
            database.execute("DELETE FROM message_definitions")
    with BagReader(bag) as reader:
        assert (reader.cloud_topic, reader.sensor_frame) == ("/livox/lidar", "lidar")
        for index, (stamp_ns, message) in enumerate(reader.clouds()):
            assert stamp_ns == stamp(index)
            cloud = decode(message)
            np.testing.assert_array_equal(cloud.points, points(index))
            np.testing.assert_allclose(cloud.intensity, np.arange(N) / 255, atol=1e-7)
            times = read_point_times(read_layout(message), cloud.points, stamp_ns, TimeFormat())
            np.testing.assert_allclose(times.seconds, OFFSETS * 1e-9, atol=1e-6)
        assert index == 2


@pytest.mark.parametrize("frame", ["", "a", "abcd", "livox_frame", "x" * 40])
@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_alignment_and_byte_order(frame, little, n):
    message = custom(2, frame=frame, n=n)
    data = typestore().serialize_cdr(message, CUSTOM_MESSAGES[0], little_endian=little)
    found = read_custom_message(data)
    assert (found.stamp_ns, found.frame) == (stamp(2), frame)
    np.testing.assert_array_equal(decode(found.cloud).points, points(2)[:n])


@pytest.mark.parametrize("keep", [0, 3, 20, 60, -1])
def test_cut_off(keep):
    data = typestore().serialize_cdr(custom(0), CUSTOM_MESSAGES[0])
    while data[-1:] == b"\0":  # padding
        data = data[:-1]
    raw = RawMessage("/livox/lidar", CUSTOM_MESSAGES[0], 0, bytes(data[:keep]))
    with pytest.raises(BagError, match="no valid livox_ros_driver2"):
        decode_cdr(raw)


def test_labelled(tmp_path):
    bag = write_bag(tmp_path / "bag", livox_topics())
    label(bag, Target(tmp_path / "out"))
    before, after = content(bag), content(tmp_path / "out")
    assert len(after.pop("/mos_node/labeled")) == 3
    assert after == before
    first = decoded(tmp_path / "out", "/mos_node/labeled")[0]
    names = ["x", "y", "z", "intensity", "tag", "line", "timestamp", "label", "moving_probability"]
    assert [f.name for f in first.fields] == names


def test_without_moving_points_they_are_point_clouds(tmp_path):
    bag = write_bag(tmp_path / "bag", livox_topics())
    label(bag, Target(tmp_path / "out", job.WITHOUT_MOVING))
    with BagReader(tmp_path / "out", base_T_sensor=MOUNT) as reader:
        kinds = {t.name: t.msgtype for t in reader._bag.topics}
        assert kinds["/livox/lidar"] == POINT_CLOUD
        assert 0 < sum(message.width for _, message in reader.clouds()) <= 3 * N


def test_definition_of_another_driver():
    assert has_known_points("")
    known = f"{MESSAGE_DEFINITION}\n{'=' * 80}\nMSG: livox_ros_driver2/CustomPoint\n# of a point\n"
    known += POINT_DEFINITION
    assert has_known_points(f"{known}\n{'=' * 80}\nMSG: std_msgs/Header\nstring frame_id\n")
    assert not has_known_points(known + "uint8 ring\n")
