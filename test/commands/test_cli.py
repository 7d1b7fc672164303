"""The kdmos command: what it prints, how it fails, what it leaves behind."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cli_harness import N_POINTS, N_SCANS, ForwardSegmenter, failure
from drive_harness import points

from kdmos_ros import cli
from kdmos_ros.errors import KdmosError
from kdmos_ros.labels import MOVING, STATIC


def test_lidar_without_pyyaml_is_one_clear_line(drive, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "yaml", None)
    bag, labels = drive
    assert cli.main(["eval", str(bag), "--labels", str(labels), "--lidar", "velodyne"]) != 0
    error = capsys.readouterr().err
    assert error == (
        "kdmos: error: this command needs the Python package yaml: pip install 'kdmos_ros[tools]'\n"
    )


@pytest.fixture
def forward(monkeypatch):
    monkeypatch.setattr("kdmos_ros.commands.eval.make_segmenter", lambda args: ForwardSegmenter())


# Failures


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["eval"],
        ["eval", "bag", "--provider", "abacus"],
        ["eval", "bag", "--threads", "-1"],
        ["eval", "bag", "--limit", "0"],
        ["eval", "bag", "--base-to-lidar", "1,2"],
        ["eval", "bag", "--base-to-lidar", "1,2,nan"],
        ["eval", "bag", "--frobnicate"],
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments):
    assert "--help" in failure(capsys, *arguments)


def test_missing_bag(capsys, tmp_path):
    assert "no such bag" in failure(capsys, "eval", tmp_path / "nothing")


def test_missing_topic(capsys, drive):
    text = failure(capsys, "eval", drive[0], "--labels", drive[1], "--cloud", "/other")
    assert "/other" in text and "/points" in text


def test_no_labels(capsys, drive):
    assert "--labels" in failure(capsys, "eval", drive[0])


def test_missing_label_folder(capsys, drive, tmp_path):
    assert "no such folder" in failure(capsys, "eval", drive[0], "--labels", tmp_path / "none")


def test_missing_model(capsys, drive):
    text = failure(capsys, "eval", drive[0], "--labels", drive[1], "--model", "no_such_model")
    assert "no_such_model" in text


def test_labels_of_another_number(capsys, drive, forward):
    (drive[1] / "000003.label").unlink()
    assert "3 label files" in failure(capsys, "eval", drive[0], "--labels", drive[1])


def test_labels_of_another_length_leave_no_output(capsys, drive, forward, tmp_path):
    (drive[1] / "000002.label").write_bytes(bytes(4 * (N_POINTS - 1)))
    before = sorted(tmp_path.rglob("*"))
    text = failure(
        capsys, "eval", drive[0], "--labels", drive[1],
        "--json", tmp_path / "out.json", "--predictions", tmp_path,
    )  # fmt: skip
    assert "000002.label: 49 labels, but the scan has 50 points" in text
    left = [p for p in sorted(tmp_path.rglob("*")) if p not in before]
    assert all(p.is_dir() and not p.name.startswith(".") for p in left), left


def test_unwritable_json(capsys, drive, forward, tmp_path):
    (tmp_path / "file").write_text("")
    text = failure(
        capsys, "eval", drive[0], "--labels", drive[1], "--json", tmp_path / "file" / "x.json"
    )
    assert "x.json" in text


def test_truncated_bag(capsys, caplog, drive, forward):
    file = drive[0] / "bag.mcap"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])  # the summary is lost, the clouds are not
    assert cli.main(["eval", str(drive[0]), "--labels", str(drive[1])]) == 0
    assert "bag.mcap: cut off" in caplog.text
    capsys.readouterr()
    file.write_bytes(b"no bag" + whole[:100])
    assert "bag" in failure(capsys, "eval", drive[0], "--labels", drive[1])


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KdmosError("it\nbroke"), 2, "kdmos: error: it broke"),
        (OSError(28, "No space left on device", "/full"), 2, "/full: No space left on device"),
        (ModuleNotFoundError("no", name="torch._C"), 2, "pip install 'kdmos_ros[train]'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_of_commands(capsys, monkeypatch, error, status, text):
    def run(args):
        raise error

    monkeypatch.setattr("kdmos_ros.commands.eval.run", run)
    assert cli.main(["eval", "bag"]) == status
    assert text in capsys.readouterr().err


def test_bugs_are_not_hidden(monkeypatch):
    def run(args):
        raise ZeroDivisionError

    monkeypatch.setattr("kdmos_ros.commands.eval.run", run)
    with pytest.raises(ZeroDivisionError):
        cli.main(["eval", "bag"])


def test_closed_pipe_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from kdmos_ros.cli import main; sys.exit(main(['eval', 'bag']))"
    patch = "import kdmos_ros.commands.eval as e; e.run = lambda a: print('x' * 100000) or 0; "
    done = subprocess.run(
        [sys.executable, "-c", patch + code], stdout=writer, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writer)
    assert done.returncode == 2 and done.stderr == b""


# Success


def test_eval(capsys, drive, forward, tmp_path):
    bag, labels = drive
    status = cli.main(
        ["eval", str(bag), "--labels", str(labels),
         "--json", str(tmp_path / "out.json"), "--predictions", str(tmp_path / "submission")]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0 and captured.err == ""
    tp = fp = fn = 0
    for i in range(N_SCANS):
        xyz = points(i, N_POINTS)
        counts = np.arange(N_POINTS) % 10 != 0
        moves, called = xyz[:, 2] > 0, xyz[:, 0] > 0
        tp += int((counts & moves & called).sum())
        fp += int((counts & ~moves & called).sum())
        fn += int((counts & moves & ~called).sum())
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["tp"], content["fp"], content["fn"]) == (tp, fp, fn)
    assert content["iou_moving"] == pytest.approx(tp / (tp + fp + fn))
    assert content["precision"] == pytest.approx(tp / (tp + fp))
    assert content["recall"] == pytest.approx(tp / (tp + fn))
    assert content["scans"] == N_SCANS and content["points"] == N_SCANS * N_POINTS
    assert set(content["latency_ms"]) == {"p50", "p90", "p99"}
    assert list(content["stages_ms"]) == ["decode", "pose", "bev"]
    assert content["provider"] == "CPUExecutionProvider" and content["model"] == "forward"
    assert content["lookahead"] == 0 and content["dropped"] == {}
    assert f"moving IoU {content['iou_moving']:.4f}" in captured.out
    files = sorted((tmp_path / "submission" / "sequences" / "00" / "predictions").iterdir())
    assert [f.name for f in files] == [f"{i:06d}.label" for i in range(N_SCANS)]
    expected = np.where(points(1, N_POINTS)[:, 0] > 0, 251, 9)
    np.testing.assert_array_equal(np.fromfile(files[1], "<u4"), expected)


def test_eval_of_the_first_scans(capsys, drive, forward, tmp_path):
    out = tmp_path / "out.json"
    arguments = ["eval", str(drive[0]), "--labels", str(drive[1]), "--limit", "2"]
    assert cli.main([*arguments, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["scans"] == 2


def test_eval_of_labels_in_the_bag(capsys, forward, tmp_path):
    from drive_harness import MOUNT, pose, stamp

    from kdmos_ros.io.drive_bag import DriveWriter, pack_labels
    from kdmos_ros.scan import Scan

    with DriveWriter(tmp_path / "bag", MOUNT) as writer:
        for i in range(3):
            xyz = points(i)
            truth = np.where(xyz[:, 0] > 0, MOVING, STATIC).astype(np.uint8)
            raw = pack_labels(truth, np.arange(len(xyz), dtype=np.int32))
            writer.add(Scan(xyz, None, stamp(i), pose(i) @ MOUNT), raw)
    assert cli.main(["eval", str(tmp_path / "bag")]) == 0
    assert "moving IoU 1.0000" in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["--help"])
    assert error.value.code == 0
    assert "eval" in capsys.readouterr().out


def test_start_up_imports_nothing_heavy():
    code = (
        "import sys; from kdmos_ros.cli import make_parser; make_parser();"
        "heavy = {'torch', 'onnxruntime', 'numba', 'rclpy', 'rosbags', 'PIL', 'tqdm'};"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""
