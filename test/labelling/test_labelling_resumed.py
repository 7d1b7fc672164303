"""Stopping and going on changes nothing in what is written."""

import os
import signal

import pytest
from drive_harness import MOUNT, cloud, odometry, stamp, write_bag
from label_harness import (
    N_SCANS,
    TARGETS,
    CountingSegmenter,
    content,
    label,
    write_interrupted_bag,
)

from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling import job
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.job import Target, label_bag, unfinished
from kdmos_ros.labelling.sinks import MapStyle
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter


@pytest.fixture
def bag(tmp_path):
    return write_interrupted_bag(tmp_path)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("stops", [[2], [10], [12, 30], [33, 34, 58]])
def test_going_on_gives_what_an_uninterrupted_run_gives(bag, tmp_path, kind, stops):
    name, read = TARGETS[kind]
    whole = Target(tmp_path / "whole" / name, kind, map_style=MapStyle(0.5))
    part = Target(tmp_path / "part" / name, kind, map_style=MapStyle(0.5))
    expected, _ = label(bag, whole)
    for number, stop in enumerate(stops):
        outcome, segmenter = label(bag, part, stop, resume=number > 0)
        assert outcome.signal == signal.SIGTERM
        assert outcome.done == stop + 1
        if number > 0:
            assert segmenter.pushed <= 51 + stop - stops[number - 1]
        assert len(list((tmp_path / "part").iterdir())) == 2 + 2 * (kind == job.MAP)
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
        outcome = label_bag(
            reader, OnlineSegmenter(CountingSegmenter()), "counting", target, interrupt, True
        )
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
