"""The page of `kdmos bench --report`: all figures, and the targets beside them."""

import dataclasses
import json

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.bench.costs import Cost
from kdmos_ros.bench.kdmos_baseline import Published, _label, from_json, time_network
from kdmos_ros.bench.machine import Peaks, describe
from kdmos_ros.bench.report import Results
from kdmos_ros.bench.report_page import to_markdown
from kdmos_ros.bench.soak import Sample, Soak
from kdmos_ros.bench.stage_times import Run
from kdmos_ros.bench.sweep import Cost as Point
from kdmos_ros.bench.sweep import Sweep
from kdmos_ros.bench.targets import NOT_MEASURED, loss_of, targets
from kdmos_ros.cli import main


def ms(p50, p99):
    return {"p50": p50, "p90": p99, "p99": p99}


def run(provider="OpenVINO", precision="int8", p50=40.0, p99=60.0, own=15.0, **more):
    stages = {"residual": ms(own, own), "encoder": ms(5.0, 5.0), "bev": ms(20.0, 20.0)}
    name = f"{provider}ExecutionProvider"
    made = Run("kdmos_s", name, precision, False, 0, "onnxruntime 1", 1.5, 99, 120_000, stages)
    made.latency_ms, made.costs = ms(p50, p99), {"bev": Cost(macs=10**9)}
    for key, value in more.items():
        setattr(made, key, value)
    return made


def over_dds(rate_hz=None, dropped=0, **more):
    counts = {"sent": 100, "received": 98, "labelled": 90, "dropped": {"superseded": dropped}}
    return {
        "model": "kdmos_s", "provider": "OpenVINOExecutionProvider", "precision": "int8",
        "rate_hz": rate_hz, "sent": 80, "labelled": 70, "latency_ms": ms(50.0, 90.0),
        "stages_ms": {"total": ms(44.0, 60.0)}, "ready_s": 1.0, "peak_memory_mb": 350.0,
        "seconds": 10.0, "counts": counts, **more,
    }  # fmt: skip


def score(provider, precision, iou, **more):
    return {
        "iou_moving": iou, "provider": f"{provider}ExecutionProvider", "data": "bag",
        "command": f"kdmos eval bag --precision {precision}", "model": "kdmos_s", **more,
    }  # fmt: skip


def soak(first=300.0, last=301.0):
    samples = [Sample(60.0 * i, first if i < 30 else last, 200.0, 30.0, i) for i in range(61)]
    named = {"model": "kdmos_s", "provider": "CPUExecutionProvider", "precision": "fp32"}
    counts = {"sent": 7, "received": 7, "labelled": 7, "dropped": {}}
    return Soak({**named, "rate_hz": 2.0, "seconds": 3600.0}, samples, 310.0, counts)


def full():
    results = Results("kdmos bench x", describe(), {0: Peaks(0, 100.0, 10.0)})
    results.runs = [run(), run("CPU", "fp32", 60.0, 70.0)]
    results.over_dds = [over_dds(), over_dds(50.0, dropped=8)]
    results.soaks = [soak()]
    results.sweeps = [
        Sweep("points", [Point(n, 9, 1 + n / 1e4, 2 + n / 1e4) for n in (10_000, 500_000)], {}),
        Sweep("history", [Point(9, 8, 10.0), Point(9, 32, 11.0)], {}),
    ]
    results.published = Published(120_000, 1700.0, 2, 33.0, 4_031_366, "2")
    results.scores = [score("CPU", "fp32", 0.95), score("OpenVINO", "int8", 0.945)]
    return results


def verdicts(results):
    return {t.what: t.met for t in targets(results)}


@pytest.mark.slow
def test_the_published_network_is_the_one_of_the_paper():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    timed = time_network(threads=1, points=50, repeats=1)
    assert timed.parameters == 4_025_854 and timed.points == 50 and timed.network_ms > 0
    assert from_json(timed.to_json({}, "kdmos bench --published")) == timed
    results = full()
    (line,) = [t for t in targets(results) if "published" in t.what]
    assert line.met and line.found.startswith("42 (published: 1,700 ms")
    assert results.published.to_text() in to_markdown(results, {})


def test_the_published_way_gives_the_student_s_own_classes():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from kdmos_ros.train.config.student_config import reference_config
    from kdmos_ros.train.networks.student import Student

    torch.manual_seed(0)
    config = dataclasses.replace(reference_config(), n_rho=32, n_phi=48)
    student, n = Student(config).eval(), 300
    features, motion = torch.randn(n, 9), torch.rand(1, config.n_cells, 8)
    place, z_bin = torch.randint(0, config.n_cells, (n,)), torch.randint(0, config.n_z, (n,))
    with torch.inference_mode():
        expected = student(features, place, z_bin, motion).argmax(1)
        assert (_label(student, features, place, z_bin, motion) == expected).float().mean() > 0.99


def found(results, start):
    (what,) = [what for what in verdicts(results) if what.startswith(start)]
    return verdicts(results)[what]


def test_what_is_reached():
    results = full()
    assert [t.what for t in targets(results) if t.met is False] == []
    unknown = [
        "S, TensorRT, fp16: median",
    ]
    assert [t.what for t in targets(results) if t.met is None] == unknown
    assert all(t.how.startswith("kdmos ") for t in targets(results))


@pytest.mark.parametrize(
    ("start", "change"),
    [
        ("S, OpenVINO, INT8: median", {"runs": [run(p50=50.1)]}),
        ("S, OpenVINO, INT8: p99", {"runs": [run(p99=75.1)]}),
        ("S, plain ONNX Runtime: median", {"runs": [run("CPU", "fp32", 80.1)]}),
        ("S, OpenVINO, INT8: times as fast", {"runs": [run(p50=43.0)]}),
        ("S, OpenVINO, INT8: all but", {"runs": [run(own=20.1)]}),
        ("S, OpenVINO, INT8: start to first", {"runs": [run(first_label_s=5.1)]}),
        ("kdmos_s, OpenVINO: DDS on top", {"over_dds": [over_dds(latency_ms=ms(69.1, 90.0))]}),
        ("kdmos_s, OpenVINO: fed at 50 Hz", {"over_dds": [over_dds(50.0, dropped=7)]}),
        (
            "kdmos_s, OpenVINO: fed at 50 Hz",
            {"over_dds": [over_dds(50.0, latency_ms=ms(69.1, 9e3))]},
        ),
        ("kdmos_s, OpenVINO: peak memory", {"over_dds": [over_dds(peak_memory_mb=401.0)]}),
        ("kdmos_s, CPU: memory over an hour", {"soaks": [soak(300.0, 310.0)]}),
        (
            "cost with 8, 32 past scans",
            {"sweeps": [Sweep("history", [Point(9, 8, 10.0), Point(9, 32, 12.1)], {})]},
        ),
        (
            "cost by points",
            {
                "sweeps": [
                    Sweep("points", [Point(n, 9, ms) for n, ms in ((1, 9), (9, 1), (99, 5))], {})
                ]
            },
        ),
        (
            "INT8 (OpenVINO) costs",
            {"scores": [score("CPU", "fp32", 0.95), score("OpenVINO", "int8", 0.939)]},
        ),
    ],
)
def test_what_is_missed_is_said(start, change):
    results = full()
    for name, value in change.items():
        setattr(results, name, value)
    assert found(results, start) is False


def test_a_soak_of_less_than_an_hour_says_so():
    results = full()
    results.soaks = [Soak(soak().run, soak().samples[:41], 310.0, soak().counts)]
    (line,) = [t for t in targets(results) if t.what.endswith("memory over an hour")]
    assert line.met is None and line.by == "over 40 minutes only"


def test_what_was_not_measured_is_not_met():
    empty = Results("", describe())
    assert {t.met for t in targets(empty)} == {None}
    assert {t.found for t in targets(empty)} == {NOT_MEASURED}


@pytest.mark.parametrize(
    "other",
    [
        {"model": "kdmos_s_lookahead"},
        {"lookahead": 3},
        {"command": "kdmos eval other_bag"},
        {"command": "kdmos eval --model x bag", "data": "other_bag"},
        {"command": "kdmos eval bag --precision=fp16"},
    ],
)
def test_what_a_precision_costs_is_told_by_nothing_else(other):
    """Neither another model nor other data, delay or precision is what it is compared with."""
    cheap = score("OpenVINO", "int8", 0.945, command="kdmos eval bag --precision=int8")
    assert loss_of(cheap, [score("CPU", "fp32", 0.5, **other), cheap]) is None
    same = score("CPU", "fp32", 0.95, command="kdmos eval --precision fp32 bag", data="bag")
    assert loss_of(cheap, [score("CPU", "fp32", 0.5, **other), same]) == pytest.approx(0.005)
    results = full()
    results.scores = [same, cheap]
    assert found(results, "INT8 (OpenVINO) costs") is True


def test_what_a_file_has_taken_over_is_taken_over_with_it(tmp_path):
    first, path = full(), tmp_path / "all.json"
    path.write_text(first.to_json())
    second = Results("kdmos bench y", describe())
    second.add_file(path)
    assert (second.sweeps, second.soaks) == (first.sweeps, first.soaks)
    assert (second.published, second.scores) == (first.published, first.scores)


def test_a_single_thread_or_another_model_is_not_the_target():
    results = full()
    results.runs = [run(threads=1), run(model="kdmos_s_lookahead"), run(precision="fp32")]
    assert found(results, "S, OpenVINO, INT8: median") is None


def test_the_page_of_files(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    results, command = full(), ["bench", "--collect", "--report", str(tmp_path / "page.md")]
    alone = dataclasses.replace(results, sweeps=[], soaks=[], scores=[])
    files = [json.loads(alone.to_json())]
    files += [s.to_json(results.machine, f"kdmos bench --sweep {s.kind}") for s in results.sweeps]
    files += [s.to_json(results.machine, "kdmos bench --soak 3600") for s in results.soaks]
    files += results.scores
    for i, content in enumerate(files):
        path = tmp_path / f"{i}.json"
        path.write_text(json.dumps(content))
        command += ["--also", str(path)]
    assert main(command) == 0
    text = (tmp_path / "page.md").read_text()
    for kind in ("stages", "floor", "points", "history", "soak"):
        assert f"(page_{kind}.png)" in text and (tmp_path / f"page_{kind}.png").stat().st_size
    for command_line in ("kdmos bench x", "kdmos bench --soak 3600", "kdmos bench --sweep points"):
        assert f"\n{command_line}\n" in text
    assert "-0.50 points" in text and "8 superseded" in text and "**no**" not in text
    heads = [line for line in text.splitlines() if line.startswith("| ---")]
    assert len(heads) == 10, "targets, models, 2 runs, DDS, overload, memory, 2 sweeps, accuracy"


def test_every_row_has_as_many_cells_as_its_head():
    width = 0
    for line in to_markdown(full(), {}).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or line.count(" |")
        assert line.count(" |") == width, line
