"""The same points in frames that lie otherwise: a table, and real scans whose labels stay."""

import json

import numpy as np
import pytest
from cli_harness import ForwardSegmenter

from kdmos_ros import cli
from kdmos_ros.evaluation.mount_tolerance import CASES, ReframedSegmenter, Reframing
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.geometry.transforms import transform
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.labels import MOVING
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.sim import make_drive

LEVEL = parse_transform("0 0 1.7")


def a_scan():
    points = np.random.default_rng(0).normal(0, 9, (200, 3)).astype(np.float32)
    return Scan(points, None, 0, parse_transform("4 5 1.7 0 0.1 0.7"))


@pytest.mark.parametrize("name, reframing", CASES)
def test_points_keep_their_place_in_the_fixed_frame(name, reframing):
    scan = a_scan()
    there = reframing.apply(scan, 0.1, LEVEL)
    places = [transform(s.pose, s.points.astype(np.float64)) for s in (scan, there)]
    np.testing.assert_allclose(places[0], places[1], atol=1e-4)
    assert (there.points is scan.points) == (name == "as recorded")


def test_the_mount_tells_of_a_turn_unless_the_base_turns_along():
    scan = a_scan()
    for reframing in (Reframing(pitch=45), Reframing(bob_deg=10, with_base=True)):
        there = reframing.apply(scan, 0.1, LEVEL)
        base = there.pose @ np.linalg.inv(there.base_T_sensor)
        stays = np.allclose(base, scan.pose @ np.linalg.inv(LEVEL))
        assert stays != reframing.with_base
        assert np.allclose(there.base_T_sensor, LEVEL) == reframing.with_base


class LevelSegmenter(ForwardSegmenter):
    """Goes by what is ahead in the base frame."""

    def push(self, scan):
        level = Scan(scan.level_points, None, scan.stamp_ns, scan.pose)
        return super().push(level)


def test_command_writes_the_table(drive, monkeypatch, tmp_path, capsys):
    bag, labels = drive
    monkeypatch.setattr(
        "kdmos_ros.commands.tolerance.make_segmenter", lambda args: LevelSegmenter()
    )
    out = tmp_path / "t.json"
    arguments = ["tolerance", bag, "--labels", labels, "--mounts", "--json", out]
    assert cli.main([str(a) for a in arguments]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| frame of the clouds |") and len(table) == 2 + len(CASES)
    rows = json.loads(out.read_text())
    assert len({row["iou_moving"] for row in rows if not row["with_base"]}) == 1
    assert rows[1]["pitch"] == 45


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter("kdmos_s", provider="cpu", precision="fp32")


TURNS = {
    "nose up 60": Reframing(pitch=-60),
    "nose down 90": Reframing(pitch=90),
    "upside down, 45": Reframing(roll=180, pitch=45),
    "sensor bobs": Reframing(bob_deg=10),
}


def labels_of(scans, segmenter, reframing, mount):
    online = ReframedSegmenter(OnlineSegmenter(segmenter), reframing, mount)
    online.reset()
    return [online.push(scan).result().labels for scan in scans]


def moving_in(first, second):
    """How many points are called moving both times, and either time."""
    a, b = (np.concatenate(labels) == MOVING for labels in (first, second))
    return np.count_nonzero(a & b), np.count_nonzero(a | b)


def assert_same(scans, segmenter, reframings, mount):
    """That labels of every frame agree, and that there is something to agree about."""
    truth = labels_of(scans, segmenter, Reframing(), mount)
    moving, _ = moving_in(truth, truth)
    assert moving > 300
    for reframing in reframings:
        found = labels_of(scans, segmenter, reframing, mount)
        both, either = moving_in(truth, found)
        assert either - both < 0.005 * moving, reframing


@pytest.mark.slow
def test_labels_of_a_recorded_drive_do_not_depend_on_the_frame(real_data, segmenter):
    with open_bag(real_data / "kitti_0005" / "bag", BagOptions()) as bag:
        scans = [s.scan for s in replay(bag, OnlineSegmenter(segmenter), limit=4)]
    assert_same(scans, segmenter, TURNS.values(), bag.base_T_sensor)


@pytest.mark.slow
@pytest.mark.parametrize("name", TURNS)
def test_labels_of_a_simulated_drive_do_not_depend_on_the_frame(name, segmenter):
    drive = make_drive(
        5, sensor="os1_64", duration_s=0.5, scene="street", movers=True, ego="driving"
    )
    scans = [frame.scan for frame in drive]
    assert_same(scans, segmenter, [TURNS[name]], drive.base_T_sensor)


@pytest.fixture(scope="module")
def still_and_bobbing(real_data, segmenter):
    """Labels of 14 scans as recorded, and with a base that bobs by 10 degrees."""
    with open_bag(real_data / "kitti_0005" / "bag", BagOptions()) as bag:
        scans = [s.scan for s in replay(bag, OnlineSegmenter(segmenter), limit=14)]
    bobs = Reframing(bob_deg=10, with_base=True)
    return [labels_of(scans, segmenter, how, bag.base_T_sensor) for how in (Reframing(), bobs)]


@pytest.mark.slow
def test_a_base_that_bobs_costs_little(still_and_bobbing):
    """From the first scan on, when nothing is known of its bobbing."""
    both, either = moving_in(*still_and_bobbing)
    assert both > 0.9 * either


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="a parked car 2.8 m aside is called moving in one scan")
def test_a_base_that_goes_on_bobbing_costs_hardly_anything(still_and_bobbing):
    both, either = moving_in(*(labels[8:] for labels in still_and_bobbing))
    assert both > 0.97 * either
