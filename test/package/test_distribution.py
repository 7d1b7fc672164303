"""The sdist builds a wheel that holds all that an install without the checkout needs."""

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import kdmos_ros

pytest.importorskip("build", reason="the package build is not installed")
pytest.importorskip("wheel", reason="the package wheel is not installed")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
STEM = f"kdmos_ros-{kdmos_ros.__version__}"
DATA = f"{STEM}.data/data"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """(sdist, wheel made of it): both without network, with the setuptools of this environment."""
    work = tmp_path_factory.mktemp("dist")
    source = work / "source"
    # Building writes into its folder.
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).symlink_to(ROOT / name)
    # Without --sdist and --wheel, the wheel is built from the sdist.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(work), str(source)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    (wheel,) = work.glob("*.whl")
    (sdist,) = work.glob("*.tar.gz")
    return sdist, wheel


@pytest.fixture(scope="module")
def wheel_files(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        return {info.filename: info for info in wheel.infolist()}


def test_the_wheel_has_every_file_of_the_package(wheel_files):
    for path in (ROOT / "kdmos_ros").rglob("*"):
        if path.suffix in (".py", ".yaml", ".json", ".onnx", ".typed"):
            assert path.relative_to(ROOT).as_posix() in wheel_files


def test_the_wheel_has_models_launch_files_and_parameters(wheel_files):
    for folder in ("launch", "config", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = f"{DATA}/share/kdmos_ros/{path.relative_to(ROOT).as_posix()}"
                assert wheel_files[name].file_size == path.stat().st_size
    assert f"{DATA}/share/ament_index/resource_index/packages/kdmos_ros" in wheel_files
    mode = wheel_files[f"{DATA}/lib/kdmos_ros/mos_node"].external_attr >> 16
    assert mode & 0o111 == 0o111, "ros2 run and launch look for executable files"


@pytest.mark.parametrize("way", ["--target", "--prefix"])
def test_models_are_found_away_from_the_checkout(distributions, tmp_path, way):
    """As the wheel is installed, without its dependencies; those are this environment's."""
    place = tmp_path / "place"
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    command += ["--ignore-installed", way, str(place), str(distributions[1])]
    subprocess.run(command, env=environment, check=True, cwd=tmp_path)
    (package,) = place.rglob("kdmos_ros/__init__.py")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from kdmos_ros.inference.model import find_model, load_spec\n"
        "print(find_model()); load_spec(find_model())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(package.parents[1])],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()) == place / "share" / "kdmos_ros" / "models" / "kdmos_s"


def test_the_wheel_has_nothing_else(wheel_files):
    tops = {name.split("/")[0] for name in wheel_files}
    assert tops == {"kdmos_ros", f"{STEM}.data", f"{STEM}.dist-info"}
    assert not any("__pycache__" in name for name in wheel_files)


def test_what_an_index_shows(distributions, wheel_files):
    with zipfile.ZipFile(distributions[1]) as wheel:
        metadata = Parser().parsestr(wheel.read(f"{STEM}.dist-info/METADATA").decode())
    assert metadata["Version"] == kdmos_ros.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert any("LICENSE" in name for name in wheel_files)
    assert "tools" in metadata.get_all("Provides-Extra")


def test_the_sdist_has_tests_and_what_make_needs(distributions):
    with tarfile.open(distributions[0]) as sdist:
        names = set(sdist.getnames())
    needed = ["Makefile", "constraints.txt", "package.xml", "scripts/setup_venv.sh", "CITATION.cff",
              "test/conftest.py", "test/harnesses/drive_harness.py", "docs/demo.png"]  # fmt: skip
    assert {f"{STEM}/{name}" for name in needed} <= names
