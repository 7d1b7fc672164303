"""Training as processes: killed and started again, and two of them together."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from training_harness import write_drives

torch = pytest.importorskip("torch", reason="training needs torch")

from fit_once import RECIPE  # noqa: E402

from kdmos_ros.errors import KdmosError  # noqa: E402
from kdmos_ros.train.data.training_drives import StoredDrive  # noqa: E402
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT, load_checkpoint  # noqa: E402
from kdmos_ros.train.fitting.fit import fit  # noqa: E402
from kdmos_ros.train.parallel.distributed import Team  # noqa: E402

pytestmark = pytest.mark.slow

HARNESSES = Path(__file__).resolve().parents[2] / "harnesses"


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    write_drives(folder, n=3, scans=4)
    return folder


def start(what, drives, work, **environment):
    paths = os.pathsep.join([str(HARNESSES.parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(HARNESSES / "fit_once.py"), what, str(drives), str(work)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def content(work):
    return torch.load(work / CHECKPOINT, weights_only=True)


def losses(work):
    return [json.loads(line)["loss"] for line in (work / "log.jsonl").read_text().splitlines()]


def assert_equal(a, b, where=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


@pytest.mark.parametrize("what", ["student", "teacher"])
def test_a_killed_run_ends_as_one_that_was_not(drives, tmp_path, what):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(what, drives, whole))
    process = start(what, drives, killed)
    for line in process.stdout:
        if line.startswith("saved 3"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert content(killed)["step"] < 9, "it was too fast to be killed"
    finish(start(what, drives, killed))
    a, b = content(whole), content(killed)
    for state in (a, b):
        del state["seconds"]
    assert_equal(a, b)
    assert losses(whole) == losses(killed)


@pytest.mark.parametrize("what", ["student", "teacher"])
def test_two_processes_share_the_work(drives, tmp_path, what):
    """Both take part in every step, with data of their own, and end with one set of weights."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        start(what, drives, tmp_path / "work", **common, RANK=str(i), LOCAL_RANK=str(i))
        for i in range(2)
    ]
    for process in processes:
        finish(process)
    state = content(tmp_path / "work")
    assert state["step"] == 9 and len(state["random"]) == 2
    alone = tmp_path / "alone"
    finish(start(what, drives, alone))
    name = next(iter(content(alone)[what]))
    assert not torch.equal(content(alone)[what][name], state[what][name])
    with pytest.raises(KdmosError, match="from 2 processes, so it cannot continue with 1"):
        load_checkpoint(tmp_path / "work" / CHECKPOINT, {}, Team())


def test_a_checkpoint_that_is_none_names_itself(drives, tmp_path):
    path = tmp_path / CHECKPOINT
    stored = [StoredDrive(drive) for drive in sorted(drives.glob("*.npz"))]
    for wrong in (b"", b"nonsense", b"PK\x03\x04 cut off"):
        path.write_bytes(wrong)
        with pytest.raises(KdmosError, match=r"checkpoint\.pt: "):
            fit(RECIPE, stored, tmp_path)
    torch.save({"step": 1}, path)
    with pytest.raises(KdmosError, match=r"checkpoint\.pt: not a checkpoint of this kind"):
        fit(RECIPE, stored, tmp_path)


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path(os.environ["KDMOS_TRAP"]),))


def test_a_checkpoint_runs_no_code(drives, tmp_path, monkeypatch):
    from kdmos_ros.train.networks.weights import load_student

    trap, path = tmp_path / "sprung", tmp_path / CHECKPOINT
    monkeypatch.setenv("KDMOS_TRAP", str(trap))
    torch.save({"step": 1, "student": Trap()}, path)
    stored = [StoredDrive(drive) for drive in sorted(drives.glob("*.npz"))]
    with pytest.raises(KdmosError, match=r"checkpoint\.pt"):
        fit(RECIPE, stored, tmp_path)
    with pytest.raises(KdmosError, match=r"checkpoint\.pt"):
        load_student(path, RECIPE.student_config())
    assert not trap.exists()


def test_a_checkpoint_of_another_network_names_itself(tmp_path):
    torch.save({"step": 1, "part": torch.nn.Linear(2, 3).state_dict()}, tmp_path / "c.pt")
    with pytest.raises(KdmosError, match=r"c\.pt: does not fit this recipe"):
        load_checkpoint(tmp_path / "c.pt", {"part": torch.nn.Linear(3, 3)}, Team())
