"""Tests of the Makefile and of the set-up behind it, mostly of what it says when it cannot work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_lists_its_targets():
    listing = make().stdout
    assert [name for name in ("demo", "test", "lint", "clean", "help") if name not in listing] == []


@pytest.fixture
def checkout(tmp_path):
    """What the set-up reads, in a folder of its own, with a Python that is too old."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup_venv.sh", tmp_path / "scripts")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    return tmp_path


def fake_program(folder: Path, name: str, script: str) -> Path:
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def set_up(checkout: Path, **variables: str) -> str:
    """Run the set-up, which must fail and leave no stamp; returns what it says."""
    environment = {k: v for k, v in os.environ.items() if k != "ROS_DISTRO"}
    result = subprocess.run(
        ["sh", "scripts/setup_venv.sh", "demo"],
        cwd=checkout,
        env={**environment, "KDMOS_SKIP_DISK_CHECK": "1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    assert list(checkout.glob(".venv/ready-*")) == []
    return result.stderr.splitlines()[-1]


def test_set_up_refuses_an_old_python(checkout):
    script = '[ "$1" = --version ] && echo Python 3.9.1 || echo 9'
    old = fake_program(checkout, "python_old", script)
    message = set_up(checkout, PYTHON=str(old))
    assert "Python 3.10 to 3.13 is needed" in message
    assert "Python 3.9.1" in message


def test_set_up_names_a_missing_python(checkout):
    assert "PYTHON=nosuch is not a program" in set_up(checkout, PYTHON="nosuch")


def test_set_up_names_the_missing_venv_module(checkout):
    script = 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 12'
    bare = fake_program(checkout, "python_bare", script)
    assert "sudo apt install python3.12-venv" in set_up(checkout, PYTHON=str(bare))


def test_set_up_stops_before_a_full_disk(checkout):
    fake_program(checkout, "bin/df", "echo header; echo none 1 1 102400 1 /")
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    message = set_up(checkout, PYTHON=sys.executable, PATH=path, KDMOS_SKIP_DISK_CHECK="")
    assert "the disk is too full" in message
    assert "100 MB are free" in message
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("said_by_pip", "expected"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: Retrying after NewConnectionError", "a download failed: check the network"),
        ("ERROR: No matching distribution found for ros-rclpy", "no package ros-rclpy for Python"),
        ("ERROR: something new", "pip failed: something new"),
    ],
)
def test_set_up_says_why_pip_failed(checkout, said_by_pip, expected):
    script = (
        'case "$*" in\n'
        f'*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;\n'
        f'*"-m pip"*) echo "{said_by_pip}"; exit 1 ;;\n'
        "*) echo 12 ;;\nesac"
    )
    python = fake_program(checkout, "python_fake", script)
    message = set_up(checkout, PYTHON=str(python))
    assert expected in message
    assert ".venv/setup.log" in message
