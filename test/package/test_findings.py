"""The folder findings/: each script has the head that its README promises, and is in its table."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
FIELDS = ("Package", "Expected", "Seen", "Output seen", "Why it matters", "Exit status")

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="findings/ is not in this copy of the source")


def rows():
    """Rows of the table of scripts: file, package, surprise, what we do."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `\w+\.sh`.*\|$", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_head_has_its_fields(script):
    assert os.access(script, os.X_OK), "not executable"
    lines = script.read_text(encoding="utf-8").splitlines()
    end = lines.index("set -euo pipefail")
    head = lines[:end]
    assert head[0] == "#!/usr/bin/env bash"
    assert all(line.startswith("#") for line in head) and head[2] == "#"
    fields = re.findall(r"^# ([A-Z][A-Za-z ]+):", "\n".join(head[3:]), flags=re.MULTILINE)
    assert tuple(field for field in fields if field != "Issue") == FIELDS
    assert "mktemp -d" in lines[end + 1] and lines[end + 2].startswith("trap ")


def test_table_lists_every_script_once():
    assert [row[0].strip("`") for row in rows()] == [script.name for script in SCRIPTS]


def test_table_names_files_that_there_are():
    named = re.findall(r"`([\w./-]+)`", " ".join(row[3] for row in rows()))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
