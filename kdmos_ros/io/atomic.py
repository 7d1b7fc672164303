"""Outputs that appear under their name only when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdmos_ros.errors import KdmosError


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to `path` at the end, removed after an exception.

    It keeps the suffix, since writers choose the format by it.

    Raises:
        KdmosError: the folder cannot be made or written to.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    if path.is_dir():
        raise KdmosError(f"cannot write {path}: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.touch()  # fails now, not after the work is done
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        raise KdmosError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill; renamed to `path` at the end, removed after an exception.

    Raises:
        KdmosError: `path` exists already, or cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise KdmosError(f"{path} exists already; choose another name or remove it")
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        scratch.chmod(0o755)  # mkdtemp makes it private
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        raise KdmosError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
