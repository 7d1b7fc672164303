"""The workflows are valid YAML, call what is in .ci, and use actions at fixed commits."""

import os
import re
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
pytestmark = pytest.mark.skipif(not FILES, reason="not in a checkout")


def jobs():
    """(name, job) of all workflows."""
    for path in FILES:
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()


def steps():
    return [step for _, job in jobs() for step in job["steps"]]


def test_actions_are_pinned_to_commits():
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used and all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", name) for name in used)


def test_commands_are_executable_files_of_the_repository():
    commands = {step["run"].strip() for step in steps() if "run" in step}
    assert commands == {".ci/run", ".ci/wheels", ".ci/colcon"}
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_distributions_build_as_readme_says():
    shown = subprocess.run(
        [ROOT / ".ci" / "colcon", "--show"], capture_output=True, text=True, check=True
    )
    lines = shown.stdout.splitlines()
    assert set(lines) < set((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    for command in ("-m venv", "pip install", "rosdep install", "--skip-keys", "colcon build"):
        assert any(command in line for line in lines), command
    assert not any("git clone" in line or "ros2 launch" in line for line in lines)


def test_each_distribution_has_its_ubuntu():
    matrix = dict(jobs())["ros"]["strategy"]["matrix"]["include"]
    assert {entry["distro"]: entry["runner"] for entry in matrix} == {
        "humble": "ubuntu-22.04",
        "jazzy": "ubuntu-24.04",
        "kilted": "ubuntu-24.04",
    }


def test_wheels_are_tried_on_every_supported_python():
    versions = dict(jobs())["wheels"]["strategy"]["matrix"]["python"]
    script = (ROOT / "scripts" / "setup_venv.sh").read_text()
    oldest, newest = (
        int(re.search(rf"^{name}=(\d+)", script, re.MULTILINE)[1]) for name in ("oldest", "newest")
    )
    assert versions == [f"3.{minor}" for minor in range(oldest, newest + 1)]


def test_no_job_can_write_or_run_for_ever():
    for path in FILES:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for _, job in jobs())


def test_citation_names_this_version_and_the_paper():
    import kdmos_ros

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == kdmos_ros.__version__
    assert "2506.14130" in citation["references"][0]["url"]
    heading = f"{citation['version']} ({citation['date-released']})"
    assert heading in (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
