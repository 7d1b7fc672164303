"""Tests of where the package finds its shared files, for each way to install it."""

from pathlib import Path

import pytest

from kdmos_ros import resources
from kdmos_ros.errors import KdmosError

SITE_PACKAGES = "lib/python3.11/site-packages/kdmos_ros"


@pytest.fixture
def place_code(monkeypatch):
    """Return a function that makes the module believe that it lies in a folder."""

    def place(folder: Path) -> None:
        monkeypatch.setattr(resources, "__file__", str(folder / "resources.py"))
        monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)

    return place


def add_share(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.xml").touch()
    return folder


def test_nothing_installed_is_one_clear_error(tmp_path, place_code):
    place_code(tmp_path / SITE_PACKAGES)
    with pytest.raises(KdmosError, match="install kdmos_ros again"):
        resources.share_dir()


def test_an_ament_prefix_without_the_package_is_passed_over(tmp_path, place_code, monkeypatch):
    place_code(tmp_path / "elsewhere" / SITE_PACKAGES)
    share = add_share(tmp_path / "workspace/share/kdmos_ros")
    prefixes = f"{tmp_path / 'ros'}::{tmp_path / 'workspace'}"
    monkeypatch.setenv("AMENT_PREFIX_PATH", prefixes)
    assert resources.share_dir() == share


@pytest.mark.parametrize(
    "code",
    [
        SITE_PACKAGES,
        "local/lib/python3.10/dist-packages/kdmos_ros",
        "lib/python3/dist-packages/kdmos_ros",
        "kdmos_ros",  # pip install --target venv
    ],
)
def test_an_install_uses_the_share_of_its_own_prefix(tmp_path, place_code, code, monkeypatch):
    place_code(tmp_path / "venv" / code)
    share = add_share(tmp_path / "venv/share/kdmos_ros")
    add_share(tmp_path / "other/share/kdmos_ros")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "other"))
    assert resources.share_dir() == share


def test_a_checkout_uses_its_own_files(tmp_path, place_code):
    checkout = add_share(tmp_path / "venv/src/kdmos_ros")
    place_code(checkout / "kdmos_ros")
    add_share(tmp_path / "venv/share/kdmos_ros")
    assert resources.share_dir() == checkout


def test_the_code_that_runs_finds_its_manifest():
    assert (resources.share_dir() / "package.xml").read_text().count("<name>kdmos_ros</name>") == 1
