"""Tests of the executable that `ros2 run` and launch start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def prefix(tmp_path):
    """An install prefix with the node's wrapper, and a stand-in for the package."""
    folder = tmp_path / "prefix"
    (folder / "lib" / "kdmos_ros").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "mos_node", folder / "lib" / "kdmos_ros")
    node = tmp_path / "stand_in" / "kdmos_ros" / "ros"
    node.mkdir(parents=True)
    (node.parent / "__init__.py").touch()
    (node / "__init__.py").touch()
    (node / "process.py").write_text(
        "import sys\ndef main():\n    print(sys.argv[1:])\n    return 3\nend = sys.exit\n"
    )
    return folder


def run_wrapper(prefix: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(prefix.parent / "stand_in")}
    command = [sys.executable, str(prefix / "lib/kdmos_ros/mos_node"), "--ros-args"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_wrapper_hands_on_arguments_and_exit_status(prefix):
    result = run_wrapper(prefix)
    assert (result.returncode, result.stdout) == (3, "['--ros-args']\n"), result.stderr


def test_wrapper_uses_the_python_of_its_own_environment(prefix):
    (prefix / "pyvenv.cfg").touch()
    python = prefix / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "started: $*"\n')
    python.chmod(0o755)
    result = run_wrapper(prefix)
    wrapper = prefix / "lib/kdmos_ros/mos_node"
    assert result.stdout == f"started: {wrapper} --ros-args\n", result.stderr
