"""Whole bags labelled: what is written, and that stopping and going on changes nothing."""

import os
import re
import signal
from collections import defaultdict

import numpy as np
import pytest
from drives import MOUNT, cloud, odometry, points, pose, stamp, write_bag
from test_voxel_map import read as read_points

from kdmos_ros.cloud import decode
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry import transform
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, BagFile, decode_cdr, typestore
from kdmos_ros.io.bags import BagReader
from kdmos_ros.labelling import job
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.job import Target, label_bag, unfinished
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.segmenter import Segmentation

N_SCANS = 60
NO_POSE = {0, 1, *range(36, 45)}
REASONS = {"pose_too_old": 2, "pose_gap": 9}
STRING = "std_msgs/msg/String"


class CountingSegmenter:
    """Labels depend on each point and on how many scans of the last second came before."""

    def __init__(self, stop_at=None):
        self._stamps = []
        self.pushed = 0
        self._stop_at = stop_at

    def set_mount(self, mount):
        np.testing.assert_allclose(mount, MOUNT)

    def reset(self):
        self._stamps.clear()

    def push(self, scan):
        self.pushed += 1
        if scan.stamp_ns == self._stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self._stamps.append(scan.stamp_ns)
        known = sum(s > scan.stamp_ns - 10**9 for s in self._stamps)
        labels = expected_labels(scan.points, known)
        probability = np.full(len(labels), known / 16, np.float32)
        return Segmentation(labels, probability, scan.stamp_ns, {"bev": 1.0})


def expected_labels(xyz, known):
    """A class by quadrant, turned with what is known of the past."""
    quadrant = (xyz[:, 0] > 0) + 2 * (xyz[:, 1] > 0)
    return ((quadrant + known) % 4).astype(np.uint8)


@pytest.fixture
def bag(tmp_path):
    """Clouds, odometry with gaps, and a topic that is nobody's business."""
    chatter = typestore().types[STRING]
    path = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i) + 1000, cloud(i)) for i in range(N_SCANS)]),
            "/odom": (
                ODOMETRY,
                [(stamp(i), odometry(i)) for i in range(N_SCANS) if i not in NO_POSE],
            ),
            "/chatter": (STRING, [(stamp(i) + 7, chatter(f"word {i}")) for i in range(N_SCANS)]),
        },
    )
    return path


def label(bag, target, stop_at=None, resume=False, made_by="counting"):
    """Run; `stop_at` is the scan during which SIGTERM comes."""
    segmenter = CountingSegmenter(None if stop_at is None else stamp(stop_at))
    assert unfinished(target, resume)
    with Interrupt() as interrupt, BagReader(bag, base_T_sensor=MOUNT) as reader:
        outcome = label_bag(reader, segmenter, made_by, target, interrupt, resume)
    return outcome, segmenter


def content(path):
    """{topic: [(time, bytes)]} of a bag."""
    messages = defaultdict(list)
    with BagFile(path) as bag:
        for m in bag.messages():
            messages[m.topic].append((m.stamp_ns, bytes(m.data)))
    return dict(messages)


def decoded(path, topic):
    with BagFile(path) as bag:
        return [decode_cdr(m) for m in bag.messages([topic])]


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
    label(bag, Target(tmp_path / "map.ply", job.MAP, voxel_m=1e-3))
    rows = read_points(tmp_path / "map.ply")
    found = np.stack([rows[name] for name in "xyz"], axis=1)
    labels = expected_labels(points(2), 1)
    in_odom = transform(pose(2) @ MOUNT, points(2).astype(np.float64))
    for index, kind in enumerate(labels):
        near = np.abs(found - in_odom[index]).max(axis=1).min() < 1e-4
        assert near == (kind in (STATIC, MOVABLE))
    assert {MOVING, UNLABELLED} <= set(labels)
    assert "intensity" in rows.dtype.names


TARGETS = {
    job.BAG: ("out", content),
    job.WITHOUT_MOVING: ("out", content),
    job.LABEL_FILES: ("labels", lambda p: {f.name: f.read_bytes() for f in p.iterdir()}),
    job.MAP: ("map.pcd", lambda p: p.read_bytes()),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("stops", [[2], [10], [12, 30], [33, 34, 58]])
def test_going_on_gives_what_an_uninterrupted_run_gives(bag, tmp_path, kind, stops):
    name, read = TARGETS[kind]
    whole = Target(tmp_path / "whole" / name, kind, voxel_m=0.5)
    part = Target(tmp_path / "part" / name, kind, voxel_m=0.5)
    expected, _ = label(bag, whole)
    for number, stop in enumerate(stops):
        outcome, segmenter = label(bag, part, stop, resume=number > 0)
        assert outcome.signal == signal.SIGTERM
        assert outcome.done == stop + 1
        if number > 0:
            assert segmenter.pushed <= 51 + stop - stops[number - 1]
        assert len(list((tmp_path / "part").iterdir())) == 2 + (kind == job.MAP)
        read(part.path)  # is readable
    if kind == job.BAG:
        before, so_far = content(bag), content(part.path)
        for topic, messages in before.items():
            assert so_far[topic] == [m for m in messages if m[0] <= stamp(stops[-1]) + 1000]
    outcome, _ = label(bag, part, resume=True)
    assert outcome.signal == 0
    assert (outcome.labelled, outcome.dropped) == (expected.labelled, expected.dropped)
    assert read(part.path) == read(whole.path)
    assert [p.name for p in (tmp_path / "part").iterdir()] == [name]
    assert not unfinished(part, resume=True)


def test_clouds_recorded_out_of_order(tmp_path):
    times = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9]
    path = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(t), cloud(i)) for i, t in enumerate(times)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in range(10)]),
        },
    )
    label(path, Target(tmp_path / "whole"))
    label(path, Target(tmp_path / "part"), stop_at=5)
    label(path, Target(tmp_path / "part"), resume=True)
    whole = content(tmp_path / "whole")
    assert content(tmp_path / "part") == whole
    for (t, raw), (u, answer) in zip(whole["/points"], whole["/mos_node/labeled"], strict=True):
        assert (t, raw[4:12]) == (u, answer[4:12])  # same time, same stamp


def test_stopped_again_before_anything_new_is_done(bag, tmp_path, monkeypatch):
    target = Target(tmp_path / "out")
    label(bag, target, 20)
    before = content(target.path)
    with Interrupt() as interrupt, BagReader(bag, base_T_sensor=MOUNT) as reader:
        interrupt.signal = signal.SIGINT
        outcome = label_bag(reader, CountingSegmenter(), "counting", target, interrupt, True)
    assert outcome.signal == signal.SIGINT
    assert content(target.path) == before
    label(bag, target, resume=True)


def test_a_signal_during_the_last_scan_changes_nothing(bag, tmp_path):
    outcome, _ = label(bag, Target(tmp_path / "out"), N_SCANS - 1)
    assert outcome.signal == 0
    assert not (tmp_path / "out.partial.json").exists()


def test_a_second_signal_acts_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# Failures


def test_an_output_that_exists(bag, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(KdmosError, match="exists already"):
        unfinished(Target(tmp_path / "out"), resume=False)


def test_an_unfinished_output_is_not_overwritten(bag, tmp_path):
    label(bag, Target(tmp_path / "out"), 20)
    with pytest.raises(KdmosError, match="--resume"):
        unfinished(Target(tmp_path / "out"), resume=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"made_by": "another"}, "model"), ({"target": {"topic": "/other"}}, "topic")],
)
def test_going_on_with_something_else(bag, tmp_path, change, message):
    label(bag, Target(tmp_path / "out"), 20)
    before = content(tmp_path / "out")
    target = Target(tmp_path / "out", **change.get("target", {}))
    with pytest.raises(KdmosError, match=f"begun with {message}"):
        label(bag, target, resume=True, made_by=change.get("made_by", "counting"))
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"scans": "x", "made_by": {}}'])
def test_a_damaged_bookmark(bag, tmp_path, text):
    label(bag, Target(tmp_path / "out"), 20)
    (tmp_path / "out.partial.json").write_text(text)
    with pytest.raises(KdmosError, match=r"out\.partial\.json: cannot be read"):
        label(bag, Target(tmp_path / "out"), resume=True)


def test_a_bookmark_ahead_of_its_bag(bag, tmp_path):
    label(bag, Target(tmp_path / "out"), 20)
    path = tmp_path / "out.partial.json"
    path.write_text(path.read_text().replace('"scans": 21', '"scans": 30'))
    with pytest.raises(KdmosError, match="fewer clouds"):
        label(bag, Target(tmp_path / "out"), resume=True)


@pytest.mark.parametrize("kind", TARGETS)
def test_nothing_is_left_where_nothing_could_be_labelled(tmp_path, kind):
    path = write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(3)]),
            "/odom": (ODOMETRY, [(stamp(9), odometry(9))]),
        },
    )
    with pytest.raises(KdmosError, match=r"no scan could be labelled .*3 pose_too_old"):
        label(path, Target(tmp_path / "out.pcd", kind))
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize("kind", TARGETS)
def test_a_bag_that_breaks_off_leaves_nothing(bag, tmp_path, kind, monkeypatch):
    def broken(self, scan):
        if scan.stamp_ns == stamp(20):
            raise KdmosError("broken off")
        return Segmentation(np.ones(50, np.uint8), np.zeros(50, np.float32), scan.stamp_ns, {})

    monkeypatch.setattr(CountingSegmenter, "push", broken)
    with pytest.raises(KdmosError, match="broken off"):
        label(bag, Target(tmp_path / "out.pcd", kind))
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_a_topic_that_is_taken(bag, tmp_path):
    with pytest.raises(KdmosError, match="/chatter already"):
        label(bag, Target(tmp_path / "out", topic="/chatter"))
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_labelled_bags_can_be_labelled_again_without_naming_the_cloud(bag, tmp_path):
    label(bag, Target(tmp_path / "out"))
    with BagReader(tmp_path / "out", base_T_sensor=MOUNT) as reader:
        assert reader.cloud_topic == "/points"


@pytest.mark.parametrize("when", [3, N_SCANS - 1])
def test_a_full_disk_is_an_error_and_leaves_nothing(bag, tmp_path, monkeypatch, when):
    from kdmos_ros.io.bag_file import BagError
    from kdmos_ros.io.bag_writer import BagWriter

    write = BagWriter.write_raw

    def full(self, topic, stamp_ns, data):
        if topic == "/chatter" and stamp_ns >= stamp(when):
            raise BagError("cannot write bag: No space left on device")
        write(self, topic, stamp_ns, data)

    monkeypatch.setattr(BagWriter, "write_raw", full)
    with pytest.raises(BagError, match="No space left"):
        label(bag, Target(tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]
