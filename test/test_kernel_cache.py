"""Compiled kernels go when code that they hold changes, and stay when other code does."""

import os

import pytest

from kdmos_ros.kernel_cache import code_of_kernels, drop_stale_kernels


@pytest.fixture
def package(tmp_path):
    (tmp_path / "room" / "__pycache__").mkdir(parents=True)
    (tmp_path / "limits.py").write_text("RANGE_M = 50\n")
    (tmp_path / "helpers.py").write_text("from kdmos_ros.limits import RANGE_M\n")
    (tmp_path / "room" / "kernel.py").write_text(
        "from numba import njit\nfrom kdmos_ros.helpers import half\n"
    )
    (tmp_path / "words.py").write_text("TEXT = 'nothing of a kernel'\n")
    drop_stale_kernels(tmp_path)
    return tmp_path


def compiled(package):
    files = [
        package / "room" / "__pycache__" / f"kernel.f-1.py311.{end}" for end in ("nbi", "1.nbc")
    ]
    for file in files:
        file.write_bytes(b"compiled")
    return files


def test_nothing_changed(package):
    files = compiled(package)
    assert drop_stale_kernels(package) == 0
    assert all(file.exists() for file in files)


@pytest.mark.parametrize("name", ["limits.py", "helpers.py", "room/kernel.py"])
def test_what_a_kernel_holds_changed(package, name):
    files = compiled(package)
    with open(package / name, "a") as code:
        code.write("MORE = 1\n")
    assert drop_stale_kernels(package) == 2
    assert not any(file.exists() for file in files)
    assert drop_stale_kernels(package) == 0


def test_other_code_changed(package):
    files = compiled(package)
    (package / "words.py").write_text("TEXT = 'other words'\n")
    assert drop_stale_kernels(package) == 0
    assert all(file.exists() for file in files)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_to_write(package):
    (package / "limits.py").write_text("RANGE_M = 80\n")
    (package / "__pycache__").chmod(0o500)
    assert drop_stale_kernels(package) == 0


def test_the_package_itself_has_kernels_that_import_others():
    from pathlib import Path

    import kdmos_ros

    folder = Path(kdmos_ros.__file__).parent
    assert (folder / "__pycache__" / "kernels.sha256").read_text() == code_of_kernels(folder)
