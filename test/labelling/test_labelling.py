"""Whole bags labelled: what is written."""

import re

import numpy as np
import pytest
from drive_harness import MOUNT, cloud, drive_topics, odometry, points, pose, stamp, write_bag
from label_harness import (
    N_SCANS,
    NO_POSE,
    REASONS,
    content,
    decoded,
    expected_labels,
    label,
    write_interrupted_bag,
)
from point_file_harness import read as read_points

from kdmos_ros.geometry.transforms import transform
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, BagFile, typestore
from kdmos_ros.labelling import job
from kdmos_ros.labelling.job import Target
from kdmos_ros.labelling.sinks import MapStyle
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.pointcloud.codec import decode


@pytest.fixture
def bag(tmp_path):
    return write_interrupted_bag(tmp_path)


def test_a_bag_with_the_labelled_clouds(bag, tmp_path):
    outcome, _ = label(bag, Target(tmp_path / "out"))
    assert (outcome.total, outcome.done) == (N_SCANS, N_SCANS)
    assert outcome.dropped == REASONS
    assert outcome.labelled == N_SCANS - sum(REASONS.values())
    assert outcome.reasons() == "9 pose_gap, 2 pose_too_old"
    before, after = content(bag), content(tmp_path / "out")
    answers = after.pop("/mos_node/labeled")
    assert after == before
    assert len(answers) == outcome.labelled
    labelled = [i for i in range(N_SCANS) if i not in NO_POSE]
    assert [t for t, _ in answers] == [stamp(i) + 1000 for i in labelled]
    messages = decoded(tmp_path / "out", "/mos_node/labeled")
    assert [f.name for f in messages[0].fields][-2:] == ["label", "moving_probability"]
    np.testing.assert_array_equal(decode(messages[0]).points, points(2))
    found = np.frombuffer(messages[0].data.tobytes(), np.uint8).reshape(50, -1)[:, 16]
    np.testing.assert_array_equal(found, expected_labels(points(2), 1))
    assert not (tmp_path / "out.partial.json").exists()


def test_qos_and_definitions_are_copied(bag, tmp_path):
    label(bag, Target(tmp_path / "out"))
    with BagFile(bag) as a, BagFile(tmp_path / "out") as b:
        copies = {c.topic: c for c in b.connections}
        for c in a.connections:
            assert copies[c.topic].msgdef == c.msgdef
            assert copies[c.topic].digest == c.digest
            assert copies[c.topic].ext == c.ext


def test_a_type_that_nobody_knows_is_copied(tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer

    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def add(topic, msgtype, **options):
            return writer.add_connection(topic, msgtype, **options)

        own = add("/own", "my_msgs/msg/Own", msgdef="uint8 value\n", rihs01="RIHS01_" + "1" * 64)
        clouds = add("/points", POINT_CLOUD, typestore=typestore())
        poses = add("/odom", ODOMETRY, typestore=typestore())
        for i in range(3):
            writer.write(own, stamp(i), bytes([0, 1, 0, 0, i]))
            store = typestore()
            writer.write(clouds, stamp(i), store.serialize_cdr(cloud(i), POINT_CLOUD))
            writer.write(poses, stamp(i), store.serialize_cdr(odometry(i), ODOMETRY))
    label(tmp_path / "bag", Target(tmp_path / "out"))
    assert content(tmp_path / "out")["/own"] == content(tmp_path / "bag")["/own"]


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("SQLITE3", "NONE"), ("SQLITE3", "FILE"), ("SQLITE3", "MESSAGE"), ("MCAP", "STORAGE")],
)
def test_bags_of_every_kind_are_copied(tmp_path, storage, compression):
    path = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(3)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(3)]),
        },
        storage,
        compression,
    )
    label(path, Target(tmp_path / "out"))
    after = content(tmp_path / "out")
    assert len(after.pop("/mos_node/labeled")) == 3
    assert after == content(path)


def test_a_recording_from_before_hashes_is_copied(tmp_path):
    """Humble's bags know neither hashes nor, in sqlite3, definitions."""
    import sqlite3

    path = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(3)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(3)]),
        },
        "SQLITE3",
    )
    with sqlite3.connect(path / "bag.db3") as database:
        database.execute("UPDATE topics SET type_description_hash = ''")
        database.execute("DELETE FROM message_definitions")
    text = (path / "metadata.yaml").read_text()
    text = re.sub(r"\n *type_description_hash:\s*\S+", "", text)
    (path / "metadata.yaml").write_text(text)
    label(path, Target(tmp_path / "out"))
    assert content(tmp_path / "out")["/points"] == content(path)["/points"]


def test_topics_of_unknown_types_are_left_out(tmp_path, caplog):
    """Such as a driver's own messages in Humble's sqlite3, which has no definitions."""
    import sqlite3

    topics = drive_topics(3)
    topics["/status"] = ("std_msgs/msg/String", [])
    path = write_bag(tmp_path / "bag", topics, "SQLITE3")
    with sqlite3.connect(path / "bag.db3") as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("UPDATE topics SET type = 'vendor/msg/Status' WHERE name = '/status'")
        (number,) = database.execute("SELECT id FROM topics WHERE name = '/status'").fetchone()
        for i in range(2):
            row = (number, stamp(i) + 7, b"\0\1\0\0status")
            database.execute(
                "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row
            )
    (path / "metadata.yaml").unlink()
    label(path, Target(tmp_path / "out"))
    assert content(tmp_path / "out").keys() == {*topics, "/mos_node/labeled"} - {"/status"}
    (line,) = [r.getMessage() for r in caplog.records if "/status" in r.getMessage()]
    assert "/status (vendor/msg/Status, 2 messages)" in line


def test_a_bag_without_moving_points(bag, tmp_path):
    label(bag, Target(tmp_path / "out", job.WITHOUT_MOVING))
    before, after = content(bag), content(tmp_path / "out")
    assert set(after) == set(before)
    assert after["/chatter"] == before["/chatter"] and after["/odom"] == before["/odom"]
    first = decoded(tmp_path / "out", "/points")[0]
    keep = expected_labels(points(2), 1) != MOVING
    assert 0 < keep.sum() < len(keep)
    np.testing.assert_array_equal(decode(first).points, points(2)[keep])
    assert [f.name for f in first.fields] == ["x", "y", "z", "intensity"]
    assert len(after["/points"]) == N_SCANS - sum(REASONS.values())


def test_label_files(bag, tmp_path):
    label(bag, Target(tmp_path / "labels", job.LABEL_FILES))
    files = sorted(p.name for p in (tmp_path / "labels").iterdir())
    assert files == [f"{i:06d}.label" for i in range(N_SCANS)]
    ids = np.array([0, 9, 250, 251])
    for i, known in ((0, None), (2, 1), (3, 2), (40, None), (45, 1)):
        raw = np.fromfile(tmp_path / "labels" / f"{i:06d}.label", "<u4")
        expected = np.zeros(50) if known is None else ids[expected_labels(points(i), known)]
        np.testing.assert_array_equal(raw, expected)


def test_map_of_what_stands(bag, tmp_path):
    label(bag, Target(tmp_path / "map.ply", job.MAP, map_style=MapStyle(1e-3)))
    rows = read_points(tmp_path / "map.ply")
    found = np.stack([rows[name] for name in "xyz"], axis=1)
    labels = expected_labels(points(2), 1)
    in_odom = transform(pose(2) @ MOUNT, points(2).astype(np.float64))
    for index, kind in enumerate(labels):
        near = np.abs(found - in_odom[index]).max(axis=1).min() < 1e-4
        assert near == (kind in (STATIC, MOVABLE))
    assert {MOVING, UNLABELLED} <= set(labels)
    assert "intensity" in rows.dtype.names


@pytest.mark.parametrize("suffix", [".ply", ".laz", ".copc.laz"])
def test_a_map_to_publish(bag, tmp_path, suffix):
    """Colours by height, level surfaces smoothed, intensity and normals kept."""
    if suffix != ".ply":
        laspy = pytest.importorskip("laspy", reason="laspy is not installed")
    if suffix == ".copc.laz":
        pytest.importorskip("copclib", reason="copclib is not installed")
    path = tmp_path / f"map{suffix}"
    style = MapStyle(0.5, height_colours=True, smooth_ground=True)
    label(bag, Target(path, job.MAP, map_style=style))
    if suffix == ".ply":
        rows = read_points(path)
        z, rgb = rows["z"], np.stack([rows[n] for n in ("red", "green", "blue")], axis=1)
        assert {"nx", "ny", "nz"} <= set(rows.dtype.names) and (rows["intensity"] > 0).any()
    else:
        las = laspy.read(path)
        z, rgb = las.z, np.stack([las.red, las.green, las.blue], axis=1) // 257
        assert (np.asarray(las.intensity) > 0).any()
        assert ("NormalZ" in las.point_format.dimension_names) == (suffix == ".laz")
    order = np.argsort(z)
    assert (rgb[order[:20]].argmax(axis=1) == 2).all() and (
        rgb[order[-20:]].argmax(axis=1) == 0
    ).all()
