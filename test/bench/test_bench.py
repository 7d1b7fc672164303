"""`kdmos bench`: what it counts, what it refuses. No test looks at how long anything took."""

import json

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.bench.costs import Cost, stage_costs
from kdmos_ros.bench.machine import Peaks, describe, peaks
from kdmos_ros.bench.report import Results, floors, to_text
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.cli import main
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import STAGES, Segmenter
from kdmos_ros.sessions.node_process import isolate

pytestmark = pytest.mark.slow

P = {"p50": 4.0, "p90": 5.0, "p99": 6.0}
PEAKS = Peaks(threads=0, gmac_per_s=100.0, gb_per_s=10.0)


def made(**change):
    run = Run("m", "CPUExecutionProvider", "fp32", False, 0, "onnxruntime 1")
    run.scans, run.points, run.stages_ms, run.latency_ms = 3, 9, {"bev": P, "pose": P}, P
    run.costs = {"bev": Cost(macs=10**8, moved=10**6)}
    for name, value in change.items():
        setattr(run, name, value)
    return run


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A bag of 2.6 s, sparse and so quickly made."""
    path = tmp_path_factory.mktemp("bench") / "drive"
    command = ["simulate", str(path), "--sensor", "vlp16", "--duration", "2.6", "--scene", "field"]
    assert main(command) == 0
    return path


@pytest.fixture(autouse=True)
def quick_peaks(monkeypatch, request):
    """The machine's peaks take seconds and gigabytes."""
    if "peaks" not in request.node.name:
        monkeypatch.setattr("kdmos_ros.bench.machine.peaks", lambda threads: PEAKS)


def test_only_what_follows_the_warm_up_is_timed(drive, tiny_model, tmp_path, capsys):
    out, page = tmp_path / "bench.json", tmp_path / "page" / "bench.md"
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    command += ["--precision", "auto", "--precision", "fp32", "--threads", "1"]
    assert main([*command, "--json", str(out), "--report", str(page)]) == 0
    content = json.loads(out.read_text())
    assert len(content["runs"]) == 2 and content["machine"]["cores"] >= 1
    assert content["peaks"] == {"1": vars(PEAKS)}
    for run in content["runs"]:
        assert run["scans"] == 6, "2.6 s at 10 Hz, less 2 s"
        assert {"decode", "pose", "encode", *STAGES} <= set(run["stages_ms"])
        assert run["provider"] == "CPUExecutionProvider" and not run["fell_back"]
        assert run["precision"] == "fp32" and run["threads"] == 1
        assert run["runtime"].startswith("onnxruntime")
        parts = sum(stage["p50"] for stage in run["stages_ms"].values())
        assert parts > 0 and run["latency_ms"]["p50"] > 0
        assert run["first_label_s"] > 0 and run["peak_memory_mb"] > 50
        assert set(run["costs"]) <= set(run["stages_ms"]), "a cost of no stage"
    assert capsys.readouterr().out.count("total") == 2
    text = page.read_text()
    for picture in ("bench_stages.png", "bench_floor.png"):
        assert f"({picture})" in text and (page.parent / picture).stat().st_size > 1000
    assert "tiny, CPU, fp32, 1 thread" in text and content["machine"]["processor"] in text


def test_a_bag_without_anything_to_time_is_refused(drive, tiny_model, tmp_path, capsys):
    out = tmp_path / "bench.json"
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--limit", "5"]
    assert main([*command, "--json", str(out)]) == 2
    assert "nothing to time" in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_bag_or_model_is_refused(drive, tmp_path, capsys):
    assert main(["bench", "--bag", str(tmp_path / "none")]) == 2
    assert main(["bench", "--bag", str(drive), "--model", "no_such_model"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and all(line.startswith("kdmos: error:") for line in lines)


def test_a_precision_that_the_model_lacks_is_refused(drive, tiny_model, capsys):
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    assert main([*command, "--precision", "int8"]) == 2
    assert "model tiny has no int8 graphs" in capsys.readouterr().err


def test_costs_are_those_of_the_network(drive, tiny_model):
    """Counted by hand: the encoder's layers, and the head over the occupied cells."""
    segmenter = Segmenter(tiny_model, provider="cpu", num_threads=1)
    with BagReader(drive) as bag:
        *_, scan = replay(bag, OnlineSegmenter(segmenter), 8)
    costs = stage_costs(tiny_model, segmenter, scan)
    inside = int(np.count_nonzero(scan.labels))
    n = segmenter.spec.features.n_point
    assert costs["encoder"].macs == inside * (n * 8 + 8 * 8)
    assert costs["encoder"].moved >= inside * 4 * (n + 8)
    assert costs["bev"].int8_macs == 0
    network = segmenter.spec.network
    first = segmenter.spec.grid.n_rho * (segmenter.spec.grid.n_phi + 2 * network["halo"])
    first *= 9 * segmenter.spec.features.n_motion * network["motion_widths"][0]
    assert first < costs["bev"].macs < 30 * first


def test_int8_convolutions_count_a_quarter():
    assert Cost(macs=4 * 10**9).floor_ms(PEAKS) == pytest.approx(40.0)
    assert Cost(int8_macs=4 * 10**9).floor_ms(PEAKS) == pytest.approx(10.0)
    assert Cost(macs=1, moved=10**9).floor_ms(PEAKS) == pytest.approx(100.0)


def test_the_share_of_the_floor():
    run = made()
    assert floors(run, {0: PEAKS}) == {"bev": pytest.approx(1.0)}
    assert floors(run, {2: PEAKS}) == {}, "peaks of another number of threads"
    (bev,) = (line for line in to_text(run, {0: PEAKS}).splitlines() if line.startswith("bev"))
    assert bev.split() == ["bev", "4.0", "5.0", "6.0", "1.00", "25%"]


def test_earlier_figures_of_this_machine_are_taken_over(tmp_path):
    first = Results("kdmos bench a", describe(), {0: PEAKS}, [made(model="a")])
    path = tmp_path / "a.json"
    path.write_text(first.to_json())
    second = Results("kdmos bench b", describe())
    second.add_peaks({0: Peaks(0, gmac_per_s=50.0, gb_per_s=20.0)})
    second.add_file(path)
    second.runs.append(made(model="b"))
    assert [run.model for run in second.runs] == ["a", "b"]
    assert second.runs[0] == made(model="a") and second.peaks == {0: Peaks(0, 100.0, 20.0)}
    assert second.commands == "kdmos bench a\nkdmos bench b"
    path.write_text(second.to_json())
    third = Results("kdmos bench c", describe())
    third.add_file(path)
    assert third.commands == "kdmos bench a\nkdmos bench b\nkdmos bench c"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no figures of kdmos bench"),
        ("[]", "no figures of kdmos bench"),
        ('{"runs": [], "peaks": {}, "over_dds": []}', "no figures of kdmos bench"),
        (
            '{"runs": [], "peaks": {}, "over_dds": [], "command": "",'
            ' "machine": {"processor": "abacus", "cores": 1}}',
            r"another machine \(abacus\)",
        ),
    ],
)
def test_other_files_are_not_taken_over(tmp_path, text, complaint):
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(KdmosError, match=complaint):
        Results("", describe()).add_file(path)


def test_peaks_are_measured_with_the_threads_asked_for(monkeypatch):
    monkeypatch.setattr("kdmos_ros.bench.machine._SIDE", 64)
    seen = {}

    def run(command, env, **options):
        seen.update(command=command, env=env)
        return type("Done", (), {"returncode": 0, "stdout": '{"gmac_per_s": 2, "gb_per_s": 1}'})

    monkeypatch.setattr("kdmos_ros.bench.machine.subprocess.run", run)
    assert peaks(3) == Peaks(3, 2, 1)
    assert seen["command"][-1] == "3" and seen["env"]["OPENBLAS_NUM_THREADS"] == "3"


def test_peaks_are_positive(monkeypatch):
    from kdmos_ros.bench import machine

    monkeypatch.setattr(machine, "_SIDE", 128)
    monkeypatch.setattr(machine, "_COPIED", 1 << 18)
    measured = machine._measure(1)
    assert measured["gmac_per_s"] > 0 and measured["gb_per_s"] > 0


def test_over_dds(drive, tiny_model, tmp_path, capsys, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    for name in isolate({}):
        monkeypatch.delenv(name, raising=False)  # what the command sets is undone afterwards
    out = tmp_path / "bench.json"
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    command += ["--ros", "--rate", "200"]
    assert main([*command, "--json", str(out), "--report", str(tmp_path / "b.md")]) == 0
    row, fast = json.loads(out.read_text())["over_dds"]
    for counts, total in ((row["counts"], 26), (fast["counts"], 520)):
        assert counts["sent"] == pytest.approx(total, abs=1) and counts["received"] <= total + 1
        assert counts["received"] == counts["labelled"] + sum(counts["dropped"].values())
    assert row["rate_hz"] is None and fast["rate_hz"] == 200
    assert row["model"] == "tiny" and row["precision"] == "fp32"
    assert 0 < row["labelled"] <= row["sent"] <= 6
    assert row["latency_ms"]["p50"] > row["stages_ms"]["bev"]["p50"] > 0
    assert {"queue", "publish", "total"} <= set(row["stages_ms"])
    assert row["peak_memory_mb"] > 50 and row["ready_s"] > 0
    assert (
        "over DDS" in capsys.readouterr().out and "## Over DDS" in (tmp_path / "b.md").read_text()
    )


def test_memory_is_told_step_by_step(drive, tiny_model, tmp_path, capsys):
    out = tmp_path / "memory.json"
    command = ["bench", "--memory", "--bag", str(drive), "--model", str(tiny_model)]
    command += ["--provider", "cpu", "--threads", "1", "--limit", "3", "--json", str(out)]
    assert main(command) == 0
    steps = json.loads(out.read_text())["memory"]
    assert [step["name"] for step in steps][-1] == "3 scans labelled: history, features, maps"
    assert all(0 < s["own_mb"] < s["resident_mb"] <= s["peak_mb"] + 1 for s in steps)
    numba, given_back = (
        next(s for s in steps if word in s["name"]) for word in ("numba", "given back")
    )
    assert numba["files_mb"] > given_back["files_mb"], "library pages stay"
    assert "| numba and LLVM |" in capsys.readouterr().out
