"""`kdmos bench --soak`: what is noted, and how it is told. No test looks at a time."""

import json
import os
import struct

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.bench.soak import Sample, Sampler, Soak, from_json
from kdmos_ros.cli import main
from kdmos_ros.sessions.node_process import isolate

pytestmark = pytest.mark.slow

RUN = {"model": "m", "provider": "CPUExecutionProvider", "precision": "fp32", "rate_hz": None}


def made(*resident, step_s=60.0):
    samples = [Sample(i * step_s, mb, mb - 9, 1.0, i) for i, mb in enumerate(resident)]
    return Soak(RUN, samples, 300.0, {"sent": 9, "received": 9, "labelled": 9, "dropped": {}})


def test_the_rise_is_that_after_the_first_minute():
    flat = made(100.0, 250.0, 250.0, 250.0, 250.0)
    assert flat.slope_mb_per_h() == pytest.approx(0, abs=1e-9)
    assert flat.summary()["first_mb"] == flat.summary()["last_mb"] == 250
    rising = made(100.0, 250.0, 251.0, 252.0, 253.0)
    assert rising.slope_mb_per_h() == pytest.approx(60)
    assert rising.summary()["most_mb"] == 253 and rising.summary()["minutes"] == 4
    assert "+60.0 MB an hour" in rising.to_text()


def test_a_short_run_settles_by_its_middle():
    assert [s.time_s for s in made(1, 2, 3, 4, 5, step_s=1.0).settled()] == [2, 3, 4]


def test_figures_survive_the_file():
    soak = made(1.0, 2.0)
    assert from_json(json.loads(json.dumps(soak.to_json({}, "kdmos bench")))) == soak


def test_a_process_is_sampled_until_the_end():
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    with Sampler(os.getpid(), 0.1, lambda: 7) as sampler:
        pass
    assert sampler.samples and sampler.samples[0].labelled == 7
    assert all(s.resident_mb > s.anonymous_mb > 0 for s in sampler.samples)
    with Sampler(1 << 30, 0.1) as sampler:
        pass
    assert sampler.samples == [], "no such process"


@pytest.mark.parametrize("order", ["<", ">"])
def test_later_stamps(order):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from kdmos_ros.io.bag_messages import header_stamp, restamped

    head = b"\0\1\0\0" if order == "<" else b"\0\0\0\0"
    data = head + struct.pack(order + "iI", 12, 999_999_999) + b"the rest"
    later = restamped(data, 2_000_000_001)
    assert header_stamp(later) == 15_000_000_000 and later[12:] == b"the rest"
    assert later[:4] == head


def test_the_command_plays_the_drive_again_and_again(tiny_model, tmp_path, capsys, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for name in isolate({}):
        monkeypatch.delenv(name, raising=False)  # what the command sets is undone afterwards
    drive, out, picture = tmp_path / "drive", tmp_path / "soak.json", tmp_path / "soak.svg"
    command = ["simulate", str(drive), "--sensor", "vlp16", "--duration", "0.5", "--scene", "field"]
    assert main(command) == 0
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    command += ["--soak", "2", "--rate", "10", "--json", str(out), "--plot", str(picture)]
    assert main(command) == 0
    content = json.loads(out.read_text())
    counts = content["soak"]["counts"]
    assert counts["sent"] == 40, "a burst of five turns of five clouds, then three turns"
    assert counts["received"] == counts["labelled"] + sum(counts["dropped"].values())
    assert counts["labelled"] > 10 and not {"out_of_order"} & set(counts["dropped"])
    assert content["soak"]["run"]["rate_hz"] == 10 and content["soak"]["samples"]
    assert "MB an hour" in capsys.readouterr().out and "minutes" in picture.read_text()


def test_what_was_measured_before_an_interrupt_is_kept(tiny_model, tmp_path, capsys, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from kdmos_ros.sessions.bag_feeder import BagFeeder

    for name in isolate({}):
        monkeypatch.delenv(name, raising=False)
    drive, out = tmp_path / "drive", tmp_path / "soak.json"
    command = ["simulate", str(drive), "--sensor", "vlp16", "--duration", "0.5", "--scene", "field"]
    assert main(command) == 0
    play = BagFeeder.play

    def interrupted(self, *args, **keywords):
        play(self, *args, **keywords)
        if "rate_hz" not in keywords:  # after the burst
            raise KeyboardInterrupt

    monkeypatch.setattr(BagFeeder, "play", interrupted)
    command = ["bench", "--bag", str(drive), "--model", str(tiny_model), "--provider", "cpu"]
    assert main([*command, "--soak", "2", "--rate", "10", "--json", str(out)]) == 0
    shown = capsys.readouterr()
    assert "interrupted" in shown.err and "MB an hour" in shown.out
    assert json.loads(out.read_text())["soak"]["counts"]["labelled"] > 10


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "50"],
        ["--ros", "--rate", "0"],
        ["--soak", "-1"],
        ["--soak", "0"],
        ["--soak", "nan"],
        ["--soak", "inf"],
        ["--ros", "--rate", "inf"],
        ["--soak", "1", "--plot", "a.bmp2"],
        ["--soak", "1", "--plot", "a"],
        ["--soak", "1", "--json", "/dev/null/a.json"],
        ["--soak", "1", "--model", "a", "--model", "b"],
        ["--soak", "1", "--report", "a.md"],
        ["--soak", "1", "--sweep", "points"],
        ["--collect", "--report", "a.md"],
        ["--soak", "1", "--also", "a.json"],
        ["--sweep", "points", "--also", "a.json"],
        ["--published", "--also", "a.json"],
    ],
)
def test_wrong_usage_is_one_line_before_any_work(capsys, arguments, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for work in ("bench.simulate", "_bench_modes.simulate"):
        monkeypatch.setattr(f"kdmos_ros.commands.{work}", None)
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
