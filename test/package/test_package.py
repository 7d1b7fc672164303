"""Tests of what pip, colcon and make read: manifest, set-up script, constraints."""

import ast
import os
import re
import sys
from pathlib import Path

import pytest

import kdmos_ros

ROOT = Path(__file__).resolve().parents[2]
EXECUTABLES = ["mos_node"]
# Rosdep keys that are not "python3-" and the name of the pip requirement.
ROSDEP_KEYS = {
    "onnxruntime": "python3-onnxruntime-pip",
    "pillow": "python3-pil",
    "pyyaml": "python3-yaml",
    "rosbags": "python3-rosbags-pip",
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def manifest():
    package = pytest.importorskip("catkin_pkg.package")
    return package.parse_package(str(ROOT / "package.xml"))


@pytest.fixture(scope="module")
def setup_arguments(monkeypatch_module):
    """The arguments that setup.py gives to setuptools, without running a command."""
    setuptools = pytest.importorskip("setuptools")
    recorded = {}
    monkeypatch_module.setattr(setuptools, "setup", lambda **arguments: recorded.update(arguments))
    code = compile((ROOT / "setup.py").read_text(), str(ROOT / "setup.py"), "exec")
    monkeypatch_module.chdir(ROOT)
    exec(code, {"__file__": str(ROOT / "setup.py"), "__name__": "setup"})
    return recorded


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def requirements(setup_arguments, extras=None):
    """`packaging` requirements of the base install and of all (or the given) extras."""
    parse = pytest.importorskip("packaging.requirements").Requirement
    lines = list(setup_arguments["install_requires"])
    for extra, names in setup_arguments["extras_require"].items():
        if extras is None or extra in extras:
            lines += names
    return [parse(line) for line in lines]


def constraints():
    """(requirement, line) of each pinned version."""
    parse = pytest.importorskip("packaging.requirements").Requirement
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [parse(line) for line in lines if line and not line.startswith("#")]


# --- manifest ---------------------------------------------------------------------------------


def test_manifest_is_valid(manifest):
    warnings = []
    manifest.validate(warnings=warnings)
    assert warnings == []
    assert manifest.get_build_type() == "ament_python"
    assert manifest.package_format == 3


def test_versions_agree(manifest, setup_arguments):
    assert manifest.version == setup_arguments["version"] == kdmos_ros.__version__


def test_manifest_and_setup_name_the_same_maintainer(manifest, setup_arguments):
    (maintainer,) = manifest.maintainers
    assert maintainer.name == setup_arguments["maintainer"]
    assert maintainer.email == setup_arguments["maintainer_email"]


def test_manifest_names_every_python_dependency(manifest, setup_arguments):
    declared = {dependency.name for dependency in manifest.exec_depends}
    for requirement in requirements(setup_arguments, extras=["tools"]):
        name = canonical(requirement.name)
        assert ROSDEP_KEYS.get(name, f"python3-{name}") in declared


# What is imported under another name than it is installed by.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "catkin_pkg": "catkin-pkg",
    "dpkt": "velodyne-decoder",  # which requires it
    "kiss_icp": "kiss-icp",
    "rerun": "rerun-sdk",
    "velodyne_decoder": "velodyne-decoder",
    "yaml": "pyyaml",
}
# What rosbags needs itself, to read compressed bags; `compression` is Python's own from 3.14 on.
OF_ROSBAGS = {"backports", "compression", "lz4"}
# Named in cli._BY_HAND: they cannot be required beside rosbags.
BY_HAND = {"ouster", "more_itertools"}
# Extras that `make` does not install.
LEFT_TO_USERS = {"dufomap", "gpu", "openvino", "view"}
ROS_MODULE = re.compile(
    r"rclpy|launch(_\w+)?|tf_transformations|\w+_(interfaces|msgs|msgs_py|srvs)|ament_\w+|tf2_\w+"
)


def imported_modules(*folders: str) -> set[str]:
    """Top-level modules that the Python files under `folders` of the repository import."""
    modules = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(), str(path))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.split(".")[0])
    return modules


def test_manifest_names_every_ros_package_in_use(manifest):
    declared = {dependency.name for dependency in manifest.exec_depends}
    used = {name for name in imported_modules("kdmos_ros", "launch") if ROS_MODULE.fullmatch(name)}
    assert used <= declared
    tested = {name for name in imported_modules("test") if ROS_MODULE.fullmatch(name)}
    assert tested <= declared | {dependency.name for dependency in manifest.test_depends}


def test_what_only_tests_use_is_no_burden_for_users(manifest):
    """sensor_msgs_py is a yardstick; see ros/compat.py for why it is no more."""
    (depend,) = [d for d in manifest.test_depends if d.name == "sensor_msgs_py"]
    assert depend.name not in {dependency.name for dependency in manifest.exec_depends}
    assert depend.name not in imported_modules("kdmos_ros", "launch")


def test_every_imported_library_is_required(setup_arguments):
    own = {"kdmos_ros", *(path.stem for path in (ROOT / "test").rglob("*.py"))}
    used = (
        imported_modules("kdmos_ros", "test") - own - sys.stdlib_module_names - OF_ROSBAGS - BY_HAND
    )
    libraries = {DISTRIBUTIONS.get(name, name) for name in used if not ROS_MODULE.fullmatch(name)}
    required = {canonical(requirement.name) for requirement in requirements(setup_arguments)}
    # setuptools is there wherever setup.py can run.
    assert libraries - {"setuptools"} <= required


# --- set-up script ----------------------------------------------------------------------------


def test_every_data_file_exists(setup_arguments):
    files = [Path(name) for _, names in setup_arguments["data_files"] for name in names]
    assert files
    assert [name for name in files if name.is_absolute() or not (ROOT / name).is_file()] == []


def test_every_shared_file_is_installed_in_its_place(setup_arguments):
    installed = {
        f"{target}/{Path(name).name}"
        for target, names in setup_arguments["data_files"]
        for name in names
    }
    for folder in ("launch", "config", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"share/kdmos_ros/{path.relative_to(ROOT).as_posix()}" in installed
    assert "share/kdmos_ros/package.xml" in installed
    assert "share/ament_index/resource_index/packages/kdmos_ros" in installed


def test_every_package_is_installed(setup_arguments):
    folders = {path.parent for path in (ROOT / "kdmos_ros").rglob("*.py")}
    modules = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(setup_arguments["packages"]) == modules


@pytest.mark.parametrize("name", EXECUTABLES)
def test_executables_go_where_ros2_run_looks(setup_arguments, name):
    (scripts,) = [n for target, n in setup_arguments["data_files"] if target == "lib/kdmos_ros"]
    assert f"scripts/{name}" in scripts
    assert os.access(ROOT / "scripts" / name, os.X_OK)
    # A console script of the same name would take its place in some kinds of install.
    assert not any(
        script.split("=")[0].strip() == name
        for script in setup_arguments["entry_points"]["console_scripts"]
    )


def test_colcon_finds_pytest_in_the_test_extra(setup_arguments):
    assert "pytest" in setup_arguments["extras_require"]["test"]


# --- constraints ------------------------------------------------------------------------------


def test_constraints_pin_exact_versions_only():
    for requirement in constraints():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_cover_what_make_installs(setup_arguments, python):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pinned = {}
    for requirement in constraints():
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonical(requirement.name)
            assert name not in pinned, f"{name} is pinned twice for Python {python}"
            pinned[name] = next(iter(requirement.specifier)).version
    extras = set(setup_arguments["extras_require"]) - LEFT_TO_USERS
    for requirement in requirements(setup_arguments, extras):
        name = canonical(requirement.name)
        assert name in pinned, f"{name} is not pinned for Python {python}"
        assert requirement.specifier.contains(pinned[name])
    assert pinned["torch"] == "2.13.0"
