"""Tests of the Makefile and of the set-up behind it, mostly of what it says when it cannot work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def python_without_venv(folder: Path) -> Path:
    script = 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 12'
    return fake_program(folder, "python_bare", script)


def set_up(checkout: Path, what: str = "demo", **variables: str) -> str:
    """Run the set-up, which must fail and leave no stamp; returns what it says."""
    environment = {k: v for k, v in os.environ.items() if k != "ROS_DISTRO"}
    result = subprocess.run(
        ["sh", "scripts/setup_venv.sh", what],
        cwd=checkout,
        env={**environment, "KDMOS_SKIP_DISK_CHECK": "1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    assert list(checkout.glob(".venv/ready-*")) == []
    return result.stderr


def test_set_up_refuses_an_old_python(checkout):
    script = '[ "$1" = --version ] && echo Python 3.9.1 || echo 9'
    old = fake_program(checkout, "python_old", script)
    message = set_up(checkout, PYTHON=str(old))
    assert "Python 3.10 to 3.13 is needed" in message
    assert "Python 3.9.1" in message


def test_set_up_names_a_missing_python(checkout):
    assert "PYTHON=nosuch is not a program" in set_up(checkout, PYTHON="nosuch")


def test_set_up_names_the_missing_venv_module(checkout):
    bare = python_without_venv(checkout)
    assert "sudo apt install python3.12-venv" in set_up(checkout, PYTHON=str(bare))


def with_free_disk(checkout: Path, free_mb: int) -> dict[str, str]:
    """Variables for a set-up that is told so by df."""
    fake_program(checkout, "bin/df", f"echo header; echo none 1 1 {free_mb * 1024} 1 /")
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "KDMOS_SKIP_DISK_CHECK": ""}


@pytest.mark.parametrize(("what", "free_mb"), [("demo", 100), ("test", 2500)])
def test_set_up_stops_before_a_full_disk(checkout, what, free_mb):
    disk = with_free_disk(checkout, free_mb)
    message = set_up(checkout, what, PYTHON=sys.executable, **disk)
    assert "the disk is too full" in message
    assert f"{free_mb} MB are free" in message
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("free_mb", "warned"), [(3000, True), (9000, False)])
def test_a_disk_too_small_for_cuda_alone_is_a_warning(checkout, free_mb, warned):
    bare = python_without_venv(checkout)
    message = set_up(checkout, "test", PYTHON=str(bare), **with_free_disk(checkout, free_mb))
    assert ("CUDA libraries would need" in message) == warned
    assert "venv module is missing" in message  # it went on


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
