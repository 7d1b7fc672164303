"""Labels made part by part: stopped, killed, made elsewhere, and the same in the end."""

import os
import signal

import numpy as np
import pytest
from drive_harness import MOUNT, stamp
from label_harness import (
    N_SCANS,
    TARGETS,
    CountingSegmenter,
    label,
    write_interrupted_bag,
)

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling import parts as module
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.job import Target, label_bag
from kdmos_ros.labelling.offline import Judge
from kdmos_ros.labelling.parts import LabelParts, StoredLabels
from kdmos_ros.labelling.sinks import MapStyle
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "CLOUDS", 7)


@pytest.fixture
def bag(tmp_path):
    return write_interrupted_bag(tmp_path)


@pytest.fixture
def parts(tmp_path):
    made = LabelParts(tmp_path / "out.parts", N_SCANS)
    made.begin({"model": "counting"})
    return made


def judge(bag, parts, among=None, stop_at=None):
    segmenter = CountingSegmenter(None if stop_at is None else stamp(stop_at))
    with Interrupt() as interrupt, BagReader(bag, base_T_sensor=MOUNT) as reader:
        judge = Judge(reader, OnlineSegmenter(segmenter), lambda: None, interrupt)
        whole = judge.make(parts, range(len(parts)) if among is None else among)
    return whole, segmenter


def write(bag, parts, target):
    with Interrupt() as interrupt, BagReader(bag, base_T_sensor=MOUNT) as reader:
        return label_bag(reader, StoredLabels(parts), "counting", target, interrupt)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_output_is_that_of_one_run(bag, parts, tmp_path, kind):
    name, read = TARGETS[kind]
    expected, _ = label(bag, Target(tmp_path / "whole" / name, kind, map_style=MapStyle(0.5)))
    assert judge(bag, parts)[0]
    target = Target(tmp_path / "parts" / name, kind, map_style=MapStyle(0.5))
    outcome = write(bag, parts, target)
    assert (outcome.labelled, outcome.dropped) == (expected.labelled, expected.dropped)
    if kind in ("label_files", "map"):  # the others have probabilities, kept in steps of 1/255
        assert read(target.path) == read(tmp_path / "whole" / name)


def test_shards_in_any_order_give_the_same(bag, parts, tmp_path):
    judge(bag, parts)
    others = LabelParts(tmp_path / "others", N_SCANS)
    others.begin({"model": "counting"})
    for among in (range(6, 9), range(2), range(2, 6)):
        judge(bag, others, among)
    for a, b in zip(parts, others, strict=True):
        assert a.stamp_ns == b.stamp_ns
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.moving_probability, b.moving_probability)


def test_a_stopped_run_loses_no_more_than_a_part(bag, parts):
    whole, first = judge(bag, parts, stop_at=24)
    assert not whole
    assert parts.missing(range(len(parts))) == [range(3, 9)]
    whole, second = judge(bag, parts)
    assert whole and parts.missing(range(len(parts))) == []
    assert first.pushed + second.pushed <= N_SCANS + 50  # what comes before is looked at


def test_a_killed_run_leaves_whole_parts(bag, parts):
    child = os.fork()
    if child == 0:
        segmenter = CountingSegmenter()
        push = segmenter.push

        def dies(scan):
            if scan.stamp_ns == stamp(24):
                os.kill(os.getpid(), signal.SIGKILL)
            return push(scan)

        segmenter.push = dies
        with BagReader(bag, base_T_sensor=MOUNT) as reader:
            Judge(reader, OnlineSegmenter(segmenter), lambda: None, Interrupt()).make(
                parts, range(len(parts))
            )
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert parts.missing(range(len(parts))) == [range(3, 9)]
    assert judge(bag, parts)[0]


def test_parts_of_something_else_are_refused(parts, tmp_path):
    with pytest.raises(KdmosError, match="started with model counting, not another"):
        LabelParts(parts.path, N_SCANS).begin({"model": "another"})
    (parts.path / "made_by.json").write_text("{")
    with pytest.raises(KdmosError, match="remove the folder"):
        parts.begin({"model": "counting"})


def test_a_damaged_part_is_named(parts):
    for part in range(len(parts)):
        parts.write(part, [Segmentation.unlabelled(3, part)])
    (parts.path / "000004.npz").write_bytes(b"PK")
    with pytest.raises(KdmosError, match=r"000004\.npz: unreadable"):
        list(parts)


def test_labels_of_another_recording_are_refused(parts):
    for part in range(len(parts)):
        parts.write(part, [Segmentation.unlabelled(3, part)])
    stored = StoredLabels(parts)
    points = np.ones((3, 3), np.float32)
    stored.push(Scan(points, None, 2, np.eye(4)))
    with pytest.raises(KdmosError, match="another recording"):
        stored.push(Scan(points, None, 1, np.eye(4)))
