"""Labelling that cannot be done: what is said, and what is left."""

import numpy as np
import pytest
from drive_harness import MOUNT, cloud, odometry, stamp, write_bag
from label_harness import N_SCANS, TARGETS, CountingSegmenter, content, label, write_interrupted_bag

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling.job import Target, unfinished
from kdmos_ros.segmentation.segmenter import Segmentation


@pytest.fixture
def bag(tmp_path):
    return write_interrupted_bag(tmp_path)


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
    with pytest.raises(KdmosError, match=f"started with {message}"):
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
