"""Tasks in processes of their own: what is done when one of them dies, fails or is stopped."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.drive_file import load_drive
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.data.simulated_drives import simulate_drives
from kdmos_ros.train.parallel.task_processes import in_processes

TINY = DataRecipe(scans=2, sensors={"vlp16": 1.0})


@pytest.fixture(autouse=True)
def limit():
    """What waits for ever fails instead."""

    def stop(number, frame):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(240)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def square(number):
    return number * number


def die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_or_sleep(number):
    if number == 0:
        raise KdmosError("number 0 is no good")
    time.sleep(600)


def wait_for(what, within_s=120.0):
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that is over may still be listed, if nobody has asked for its status.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_every_task_is_done():
    results = []
    in_processes(square, [(i,) for i in range(20)], 2, "squares", results.append)
    assert sorted(results) == [i * i for i in range(20)]
    assert not multiprocessing.active_children()


def test_a_process_that_dies_ends_it():
    with pytest.raises(KdmosError, match=r"a process died .* the files made so far are kept"):
        in_processes(die, [(i,) for i in range(50)], 2, "files")
    assert not multiprocessing.active_children()


def test_an_error_does_not_wait_for_the_others():
    with pytest.raises(KdmosError, match="number 0 is no good"):
        in_processes(fail_or_sleep, [(0,), (1,), (2,), (3,)], 2, "files")
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_simulation_says_so_and_keeps_its_drives(tmp_path):
    def kill_one():
        wait_for(lambda: list(tmp_path.glob("drive_*.npz")))
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(KdmosError, match=r"a process died .* the drives made so far are kept"):
        simulate_drives(TINY, tmp_path, 10_000, 0)
    killer.join()
    made = sorted(tmp_path.glob("drive_*.npz"))
    assert made and all(len(load_drive(path).scans) == 2 for path in made)
    before = [path.stat().st_mtime_ns for path in made]
    first, n = int(made[0].stem[-7:]), 2
    assert len(simulate_drives(TINY, tmp_path, n, first)) == n
    assert before[0] == made[0].stat().st_mtime_ns


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import test_task_processes as tasks
if __name__ == "__main__":
    tasks.in_processes(tasks.note_and_sleep, [({folder!r},)] * 9, 2, "files")
"""


def note_and_sleep(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_no_process_is_left_behind(tmp_path, number):
    folder = tmp_path / "pids"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent), folder=str(folder)))
    parent = subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: len(list(folder.iterdir())) == 2)
    parent.send_signal(number)
    _, said = parent.communicate(timeout=120)
    assert parent.returncode == -number
    assert said.count("KeyboardInterrupt") == (number == signal.SIGINT)
    wait_for(lambda: not any(exists(int(path.name)) for path in folder.iterdir()))
