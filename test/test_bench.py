"""`kdmos bench`: what it counts, what it refuses. No test looks at how long anything took."""

import json

import pytest

from kdmos_ros.cli import main
from kdmos_ros.segmenter import STAGES

pytest.importorskip("rosbags", reason="rosbags is not installed")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A bag of 2.6 s, sparse and so quickly made."""
    path = tmp_path_factory.mktemp("bench") / "drive"
    command = ["simulate", str(path), "--sensor", "vlp16", "--duration", "2.6", "--scene", "field"]
    assert main(command) == 0
    return path


def test_only_what_follows_the_warm_up_is_timed(drive, tiny_model, tmp_path, capsys):
    out = tmp_path / "bench.json"
    model = str(tiny_model)
    command = ["bench", "--bag", str(drive), "--model", model, "--model", model]
    assert main([*command, "--provider", "cpu", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    assert len(content["runs"]) == 2 and content["machine"]["cores"] >= 1
    for run in content["runs"]:
        assert run["scans"] == 6, "2.6 s at 10 Hz, less 2 s"
        assert {"decode", "pose", "encode", *STAGES} <= set(run["stages_ms"])
        assert run["provider"] == "CPUExecutionProvider" and not run["fell_back"]
        parts = sum(stage["p50"] for stage in run["stages_ms"].values())
        assert parts > 0 and run["latency_ms"]["p50"] > 0
    assert capsys.readouterr().out.count("total") == 2


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
