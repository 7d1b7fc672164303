"""Faults on purpose: how often, in the quick part and in `make test-faults`, and what was lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LONG = bool(os.environ.get("KDMOS_FAULTS"))
REPORT: list[tuple[str, int, str]] = []


def times(quick: int, long: int) -> int:
    """How often a fault is tried: the second figure in `make test-faults`."""
    return long if LONG else quick


def tell(what: str, number: int, lost: str) -> None:
    """Note a line of the report: what was done, how often, what was lost."""
    REPORT.append((what, number, lost))


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """An empty file system of so many KiB; skips where it may not be mounted."""
    folder.mkdir()
    options = f"size={size_kib}k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def one_line(error: BaseException) -> str:
    """The message of an error for the user, which is one line."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 2000, text
    return text
