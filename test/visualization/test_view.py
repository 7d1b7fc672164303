"""`kdmos view`: pictures, animations and recordings of labelled and raw bags."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from cli_harness import failure
from drive_harness import MOUNT, pose, stamp, write_drive

from kdmos_ros import cli
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.labelled_bag import labelled_topic
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.visualization.drive_frames import ego_path, labelled_frames, recorded_frames

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
N_SCANS, N_POINTS = 12, 400


@pytest.fixture
def raw(tmp_path):
    return write_drive(tmp_path / "raw", N_SCANS, N_POINTS)


@pytest.fixture
def labelled(raw, tiny_model, tmp_path):
    arguments = ["label", raw, tmp_path / "labelled", "--model", tiny_model]
    assert cli.main([str(a) for a in arguments]) == 0
    return tmp_path / "labelled"


def kdmos(*arguments):
    assert cli.main([str(a) for a in arguments]) == 0


def test_frames_of_a_labelled_bag_are_those_of_labelling_it(raw, labelled, tiny_model):
    from kdmos_ros.segmentation.segmenter import Segmenter

    with BagReader(labelled, "/mos_node/labeled") as bag:
        recorded = list(recorded_frames(bag, "/mos_node/labeled", 5))
    with BagReader(raw) as bag:
        fresh = list(labelled_frames(bag, OnlineSegmenter(Segmenter(tiny_model)), 5))
        np.testing.assert_allclose(ego_path(bag)[3], pose(3)[:3, 3])
    assert [f.stamp_ns for f in recorded] == [stamp(i) for i in (0, 5, 10)]
    for a, b in zip(recorded, fresh, strict=True):
        assert a.stamp_ns == b.stamp_ns
        for name in ("points", "labels", "pose", "mount"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_allclose(recorded[1].pose, pose(5) @ MOUNT)


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animation_of_a_labelled_bag_needs_no_model(labelled, tmp_path, name, capsys):
    kdmos("view", labelled, "--out", tmp_path / name, "--model", "no_such_model")
    assert f"{name}: 12 labelled scans" in capsys.readouterr().out
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == N_SCANS
        frames = []
        for index in (0, N_SCANS - 1):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    assert frames[0].max() > 150 and np.abs(frames[0] - frames[1]).max() > 100


@pytest.mark.slow
def test_picture_of_a_raw_bag(raw, tiny_model, tmp_path):
    kdmos("view", raw, "--out", tmp_path / "a.png", "--model", tiny_model)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1600, 900)
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 20


def test_long_drives_are_thinned_out(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("kdmos_ros.commands.view._MAX_FRAMES", 4)
    bag = write_drive(tmp_path / "bag", 9)
    kdmos("view", bag, "--out", tmp_path / "a.gif", "--model", tiny_model)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3


def test_default_name(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kdmos("view", labelled)
    assert (tmp_path / "animation.gif").stat().st_size > 0


def test_labelled_topics_are_found(raw, labelled):
    assert labelled_topic(raw) is None
    assert labelled_topic(labelled) == "/mos_node/labeled"
    assert labelled_topic(labelled, "mos_node/labeled") == "/mos_node/labeled"
    assert labelled_topic(labelled, "/points") is None


def test_failures_are_one_line_and_leave_nothing(raw, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such bag" in failure(capsys, "view", tmp_path / "none")
    assert ".gif" in failure(capsys, "view", raw, "--out", "a.bmp")
    assert "/x" in failure(capsys, "view", raw, "--topic", "/x")
    assert "no_such_model" in failure(capsys, "view", raw, "--model", "no_such_model")
    assert ".rrd" in failure(capsys, "view", raw, "--viewer", "rerun", "--out", "a.gif")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform.startswith("linux"):
        assert "no screen" in failure(capsys, "view", raw, "--viewer", "rerun")
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_missing_viewer_is_one_line(labelled, tmp_path, capsys, monkeypatch):
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "rerun", None)
    out = tmp_path / "a.rrd"
    text = failure(capsys, "view", labelled, "--viewer", "rerun", "--out", out)
    assert "pip install 'kdmos_ros[view]'" in text and not out.exists()


def test_recording_for_the_viewer(labelled, tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    out = tmp_path / "a.rrd"
    kdmos("view", labelled, "--viewer", "rerun", "--out", out)
    assert out.read_bytes()[:3] == b"RRF"
    program = shutil.which("rerun")
    if program is None:
        pytest.skip("the rerun program is not installed")
    done = subprocess.run(
        [program, "rrd", "print", str(out)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    for entity in ("/odom/points/moving", "/odom/points/static", "/odom/ego", "/odom/path"):
        assert entity in done.stdout
