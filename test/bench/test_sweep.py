"""`kdmos bench --sweep`: what is measured, and how it is told. No test looks at a time."""

import json

import numpy as np
import pytest

from kdmos_ros.bench import sweep
from kdmos_ros.bench.sweep import (
    Cost,
    Sweep,
    from_json,
    slope,
    sweep_history,
    sweep_points,
    synthetic_scan,
)
from kdmos_ros.cli import main
from kdmos_ros.features.history import ScanHistory
from kdmos_ros.segmentation.segmenter import Segmenter


def test_scans_have_as_many_points_as_asked_for_on_a_road_between_walls():
    for n in (1, 1000, 12345):
        scan = synthetic_scan(n, 0.5)
        assert scan.points.shape == (n, 3) and np.isfinite(scan.points).all()
    assert scan.stamp_ns == 500_000_000 and scan.pose[0, 3] == 4.0
    assert scan.points[:, 2].min() == pytest.approx(-1.73, abs=0.01)
    assert 11 < np.abs(scan.points[:, 1]).max() < 16


@pytest.mark.slow
def test_points_are_swept_with_a_past_scan_for_each_lag(tiny_model):
    segmenter = Segmenter(tiny_model, num_threads=1)
    costs = sweep_points(segmenter, (500, 1500), repeats=2)
    assert [c.points for c in costs] == [500, 1500]
    assert all(0 < c.own_ms < c.total_ms for c in costs)


def test_so_many_past_scans_are_kept(tiny_model, monkeypatch):
    kept = set()
    add = ScanHistory.add

    def spy(history, scan):
        kept.add((id(history), len(history)))
        add(history, scan)

    monkeypatch.setattr(ScanHistory, "add", spy)
    segmenter = Segmenter(tiny_model, num_threads=1)
    costs = sweep_history(segmenter, 1, (4, 9), points=300, repeats=6)
    assert [(c.points, c.past_scans, c.total_ms) for c in costs] == [(300, 4, None), (300, 9, None)]
    most = {}
    for history, n in kept:
        most[history] = max(n, most.get(history, 0))
    assert all(abs(a - b) <= 1 for a, b in zip(sorted(most.values()), (4, 9), strict=True))


def test_a_straight_line_is_found():
    costs = [Cost(n, 9, 2.0 + n * 1e-4) for n in (1000, 5000, 20000)]
    rise, fit = slope(costs)
    assert rise == pytest.approx(0.1) and fit == pytest.approx(1)
    assert "0.100 microseconds a point" in Sweep("points", costs, {}).to_text()
    history = Sweep("history", [Cost(9, 8, 10.0), Cost(9, 16, 11.0)], {"model": "m"})
    assert "differ by 10%" in history.to_text()
    assert from_json(history.to_json({}, "kdmos bench")) == history


def test_the_command(tiny_model, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(sweep, "sweep_history", lambda *a: [Cost(9, 8, 1.0), Cost(9, 16, 1.1)])
    out, picture = tmp_path / "sweep.json", tmp_path / "sweep.svg"
    command = ["bench", "--sweep", "history", "--model", str(tiny_model), "--threads", "1"]
    assert main([*command, "--json", str(out), "--plot", str(picture)]) == 0
    assert "differ by 10%" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["sweep"] == "history" and len(content["costs"]) == 2
    assert content["run"]["model"] == "tiny" and content["command"].startswith("kdmos bench")
    assert "past scans kept" in picture.read_text()
    assert main([*command, "--plot", str(tmp_path / "sweep.bmp2")]) == 2
    assert not (tmp_path / "sweep.bmp2").exists()


@pytest.mark.parametrize(
    "arguments", [["--plot", "a.png"], ["--sweep", "points", "--bag", "a"],
                  ["--sweep", "points", "--model", "a", "--model", "b"]],
)  # fmt: skip
def test_wrong_usage_is_one_line(capsys, arguments):
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
