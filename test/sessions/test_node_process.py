"""The demo's node: a process that is watched, and ended whatever happens."""

import os
import subprocess
import sys
import time

import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.sessions import node_process
from kdmos_ros.sessions.node_process import NodeProcess, executable, isolate


def python(tmp_path, monkeypatch, code: str) -> NodeProcess:
    """A process that runs some code in place of the node."""
    script = tmp_path / "stand_in.py"
    script.write_text(code)
    monkeypatch.setattr(node_process, "executable", lambda: script)
    return NodeProcess({}, {}, tmp_path / "node.log")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_executable_is_the_one_of_ros2_run():
    assert executable().name == "mos_node" and os.access(executable(), os.X_OK)


def test_isolated_from_other_systems():
    variables = isolate({})
    assert 1 <= int(variables["ROS_DOMAIN_ID"]) <= 101
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert "ROS_LOCALHOST_ONLY" not in variables
    assert isolate({"ROS_DISTRO": "humble"})["ROS_LOCALHOST_ONLY"] == "1"
    assert os.path.isfile(variables["FASTRTPS_DEFAULT_PROFILES_FILE"])
    own = isolate({"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"})
    assert not [name for name in own if name.startswith("FAST")]


def test_runs_at_the_same_time_have_domains_of_their_own():
    code = (
        "from kdmos_ros.sessions import ros_domain\n"
        "ros_domain.os.getpid = lambda: 7\n"
        "print(ros_domain.own_domain(), ros_domain.own_domain(), flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    try:
        found = [process.stdout.readline().split() for process in running]
    finally:
        for process in running:
            process.communicate("\n")
    assert all(first == again for first, again in found), "kept"
    assert len({first for first, _ in found} | {isolate({})["ROS_DOMAIN_ID"]}) == 4


def test_a_node_that_ends_says_why(tmp_path, monkeypatch):
    code = "import sys; print('starting'); sys.exit('mos_node: error: no model')"
    with python(tmp_path, monkeypatch, code) as process:
        wait_for(lambda: process.ended is not None)
        with pytest.raises(KdmosError, match=r"status 1: mos_node: error: no model") as error:
            process.check()
    assert "node.log" in str(error.value)
    assert process.last_lines() == ["starting", "mos_node: error: no model"]


def test_a_stubborn_node_is_ended_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(node_process, "_STOP_S", 0.2)
    code = (
        "import os, signal, time\n"
        "for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(RuntimeError), python(tmp_path, monkeypatch, code) as process:
        wait_for(process.last_lines)
        number = int(process.last_lines()[0])
        os.kill(number, 0)
        process.check()
        raise RuntimeError
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_polite_node_is_asked_first(tmp_path, monkeypatch):
    code = (
        "import os, time\n"
        "try:\n    os.write(1, b'up\\n'); time.sleep(600)\n"  # a whole line at once
        "except KeyboardInterrupt:\n    print('bye', flush=True)\n"
    )
    with python(tmp_path, monkeypatch, code) as process:
        wait_for(process.last_lines)
    assert process.last_lines() == ["up", "bye"]


def test_arguments_of_the_node(tmp_path, monkeypatch):
    script = tmp_path / "arguments.py"
    script.write_text("import sys; print(*sys.argv[1:])")
    monkeypatch.setattr(node_process, "executable", lambda: script)
    with NodeProcess({"points": "/lidar"}, {"model": "m"}, tmp_path / "log") as process:
        wait_for(lambda: process.ended == 0)
    assert process.last_lines() == ["--ros-args -r points:=/lidar -p model:=m"]
