"""Of a bag that was cut off, what is there is read; what it is not is said in one line."""

import logging
import sqlite3
import struct

import numpy as np
import pytest
from backports import zstd
from drive_harness import cloud, drive_topics, odometry, points, stamp, write_bag, write_drive

from kdmos_ros.io.bag_file import BagError, BagFile
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pointcloud.codec import decode


def storage_file(bag):
    return next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))


def cut(file, keep):
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])


def scans(path):
    with BagReader(path) as bag:
        found = list(bag.clouds())
        assert bag.n_scans == len(found)
    for index, (stamp_ns, message) in enumerate(found):
        assert stamp_ns == stamp(index)
        np.testing.assert_array_equal(decode(message).points, points(index, message.width))
    return len(found)


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("compress", [True, False])
def test_mcap_without_its_end(tmp_path, caplog, compress, metadata):
    bag = write_drive(tmp_path / "bag", 60, 4000, compress=compress)
    cut(bag / "bag.mcap", 0.6)
    if not metadata:
        (bag / "metadata.yaml").unlink()
    assert 30 <= scans(bag) <= 36
    (line,) = [r.getMessage() for r in caplog.records if "cut off" in r.getMessage()]
    assert "bag.mcap" in line and f"{scans(bag)} clouds" in line and "mcap recover" in line


@pytest.mark.parametrize("keep", [0.5, 0.8, 0.95])
def test_unchunked_mcap_without_its_end(tmp_path, keep):
    bag = write_bag(tmp_path / "bag", drive_topics(40))
    cut(bag / "bag.mcap", keep)
    assert 40 * keep - 6 < scans(bag) <= 40


@pytest.mark.parametrize("keep", [0.4, 0.8])
def test_sqlite_without_its_end(tmp_path, caplog, keep):
    topics = drive_topics(0)
    topics["/tf_static"] = drive_topics(1)["/tf_static"]
    for i in range(200):
        topics["/points"][1].append((stamp(i), cloud(i, 1000)))
        topics["/odom"][1].append((stamp(i), odometry(i)))
    bag = write_bag(tmp_path / "bag", topics, "SQLITE3")
    cut(storage_file(bag), keep)
    assert 200 * keep - 15 < scans(bag) < 200 * keep + 1
    assert any(".recover" in r.getMessage() for r in caplog.records)


def test_file_whose_end_is_zeros(tmp_path):
    bag = write_drive(tmp_path / "bag", 60, 4000)
    data = bytearray((bag / "bag.mcap").read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (bag / "bag.mcap").write_bytes(data)
    assert 15 <= scans(bag) <= 30


@pytest.mark.parametrize("keep", [0, 20, 40])
@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_file_of_which_nothing_is_left(tmp_path, storage, keep):
    bag = write_bag(tmp_path / "bag", drive_topics(), storage)
    file = storage_file(bag)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BagError, match="cut off") as error:
        BagReader(bag)
    assert str(bag) in str(error.value) and "\n" not in str(error.value)


def test_last_split_is_cut_or_gone(tmp_path, caplog):
    bag = tmp_path / "bag"
    bag.mkdir()
    for split in range(11):  # bag_10 comes after bag_9
        topics = drive_topics(1)
        topics["/points"][1][:] = [(stamp(split), cloud(split))]
        topics["/odom"][1][:] = [(stamp(split), odometry(split))]
        part = write_bag(tmp_path / f"part{split}", topics)
        storage_file(part).rename(bag / f"bag_{split}.mcap")
    (bag / "metadata.yaml").write_text("")
    assert scans(bag) == 11
    (bag / "bag_10.mcap").write_bytes(b"")
    assert scans(bag) == 10
    assert any("bag_10.mcap" in r.getMessage() for r in caplog.records)


def test_two_recordings_in_a_folder_are_not_joined(tmp_path):
    bag = tmp_path / "bag"
    bag.mkdir()
    for name in ("monday", "tuesday"):
        storage_file(write_drive(tmp_path / name)).rename(bag / f"{name}_0.mcap")
    with pytest.raises(BagError, match=r"several recordings.*monday_0\.mcap, tuesday_0\.mcap"):
        BagReader(bag)


@pytest.mark.parametrize("text", ["", "{", "a: 1", "rosbag2_bagfile_information: 7"])
def test_broken_metadata_is_as_none(tmp_path, caplog, text):
    bag = write_drive(tmp_path / "bag")
    (bag / "metadata.yaml").write_text(text)
    assert scans(bag) == 5
    (line,) = [r.getMessage() for r in caplog.records]
    assert "metadata.yaml is not used" in line


def test_metadata_without_storage_id(tmp_path):
    bag = write_drive(tmp_path / "bag")
    lines = (bag / "metadata.yaml").read_text().splitlines()
    kept = [line for line in lines if "storage_identifier" not in line]
    (bag / "metadata.yaml").write_text("\n".join(kept))
    assert scans(bag) == 5


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_compressed_file_without_metadata(tmp_path, storage):
    file = storage_file(write_bag(tmp_path / "bag", drive_topics(), storage))
    alone = tmp_path / "alone" / f"{file.name}.zstd"
    alone.parent.mkdir()
    alone.write_bytes(zstd.compress(file.read_bytes()))
    assert scans(alone) == scans(alone.parent) == 3


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_file_of_a_bag_whose_messages_are_compressed(tmp_path, storage):
    bag = write_bag(tmp_path / "bag", drive_topics(), storage, "MESSAGE")
    assert scans(storage_file(bag)) == 3


@pytest.mark.parametrize(
    ("profile", "words"), [(b"", "Foxglove"), (b"ros1", "of ROS 1.*the .bag"), (b"px4", "'px4'")]
)
def test_mcap_of_another_kind(tmp_path, profile, words):
    file = tmp_path / "log.mcap"
    header = struct.pack("<I", len(profile)) + profile + struct.pack("<I", 0)
    magic = b"\x89MCAP0\r\n"
    file.write_bytes(magic + struct.pack("<BQ", 1, len(header)) + header + bytes(40) + magic)
    with pytest.raises(BagError, match=words) as error:
        BagReader(file)
    assert "damaged" not in str(error.value) and "\n" not in str(error.value)


def test_no_guess_where_the_file_may_not_be_read(tmp_path, monkeypatch):
    bag = write_drive(tmp_path / "bag")
    monkeypatch.setattr("pathlib.Path.open", _forbidden)
    with pytest.raises(BagError) as error:
        BagFile(bag / "bag.mcap")
    assert "ermission denied" in str(error.value) and "damaged" not in str(error.value)


def _forbidden(*_args, **_options):
    raise PermissionError(13, "Permission denied")


def test_whole_bags_say_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    assert scans(write_drive(tmp_path / "bag")) == 5
    assert not caplog.records


def test_sqlite_of_humble_has_no_definitions(tmp_path):
    bag = write_bag(tmp_path / "bag", drive_topics(), "SQLITE3")
    with sqlite3.connect(storage_file(bag)) as database:
        database.execute("DELETE FROM message_definitions")
    assert scans(bag) == 3
