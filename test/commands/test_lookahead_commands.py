"""`kdmos label` and `kdmos eval` with `--lookahead`."""

import json

import numpy as np
import pytest

from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter


@pytest.fixture
def model(lookahead_model):
    return lookahead_model


def test_bags_are_labelled_as_they_are_evaluated_also_after_a_stop(
    model, tmp_path, capsys, monkeypatch
):
    """`kdmos label --lookahead`: stopped anywhere and taken up, it ends with the same labels."""
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    import signal

    from drive_harness import write_drive

    from kdmos_ros.cli import main
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.job import LABEL_FILES, Target, label_bag
    from kdmos_ros.labelling.overlapped import Overlapped
    from kdmos_ros.pipeline.replay import replay

    bag = write_drive(tmp_path / "bag", 12, 3000)
    whole, part = tmp_path / "whole", tmp_path / "part"
    arguments = ["label", str(bag), "--model", str(model), "--semantickitti"]
    assert main([*arguments, str(whole), "--lookahead", "3"]) == 0
    files = {f.name: f.read_bytes() for f in whole.iterdir()}
    with BagReader(bag) as reader:
        for scan in replay(reader, OnlineSegmenter(Segmenter(model), 3)):
            raw = np.frombuffer(files[f"{scan.index:06d}.label"], np.uint32)
            np.testing.assert_array_equal(raw >= 251, scan.labels == 3)

    def run(last, resume):
        def stopping(*arguments, **options):
            for scan in replay(*arguments, **options):
                interrupt.signal = signal.SIGTERM if scan.index == last else 0
                yield scan

        monkeypatch.setattr("kdmos_ros.labelling.job.replay", stopping)
        with (
            Interrupt() as interrupt, BagReader(bag) as reader,
            Overlapped([Segmenter(model) for _ in range(2)], 3) as overlapped,
        ):  # fmt: skip
            target = Target(part, LABEL_FILES)
            return label_bag(reader, overlapped, "tiny", target, interrupt, resume)

    assert run(3, False).done == 4
    assert run(6, True).done == 7
    assert run(None, True).signal == 0
    assert {f.name: f.read_bytes() for f in part.iterdir()} == files
    capsys.readouterr()
    plain = tmp_path / "plain"
    assert main([*arguments, str(plain)]) == 0
    assert {f.name: f.read_bytes() for f in plain.iterdir()} != files, "it makes a difference"


def test_label_files_of_models_that_cannot_look_ahead(tiny_model, tmp_path, capsys):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    from drive_harness import write_drive

    from kdmos_ros.cli import main

    bag = write_drive(tmp_path / "bag", 3)
    arguments = ["label", str(bag), "--model", str(tiny_model)]
    assert main([*arguments, "--lookahead", "1"]) != 0
    assert "trained without later scans" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--lookahead", "8"])
    assert not (tmp_path / "bag_labeled").exists()


def test_the_curve_against_delay(model, tmp_path, capsys):
    from kdmos_ros.cli import main

    report, plots = tmp_path / "delays.json", tmp_path / "plots"
    arguments = ["eval", "sim:3-3", "--sensor", "vlp16", "--limit", "6", "--model", str(model)]
    assert (
        main([*arguments, "--lookahead", "0-2", "--json", str(report), "--plot", str(plots)]) == 0
    )
    results = json.loads(report.read_text())
    assert [r["lookahead"] for r in results] == [0, 1, 2]
    assert {r["scans"] for r in results} == {6}
    counts = [tuple(r[k] for k in ("tp", "fp", "fn", "tn")) for r in results]
    assert len(set(map(sum, counts))) == 1, "the same points are scored"
    assert len(set(counts)) > 1
    assert (plots / "by_delay.png").stat().st_size > 5000
    assert [r["delay_s"] for r in results] == [0.0, 0.1, 0.2]
    assert "1 scans (0.1 s) late" in capsys.readouterr().out
    one = tmp_path / "one.json"
    assert main([*arguments, "--lookahead", "2", "--json", str(one)]) == 0
    same = json.loads(one.read_text())
    assert [same[k] for k in ("tp", "fp", "fn", "tn")] == list(counts[2])


@pytest.mark.parametrize("delay", ["8", "3-1", "x", "1-9", "-1"])
def test_delays_that_cannot_be(delay, capsys):
    from kdmos_ros.cli import main

    with pytest.raises(SystemExit):
        main(["eval", "sim:1-1", f"--lookahead={delay}"])
    assert "argument --lookahead: expected" in capsys.readouterr().err
