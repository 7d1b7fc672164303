"""The documents against the code: what is documented exists, what exists is documented."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERFACE = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "findings/README.md"),
    *("QUALITY_DECLARATION.md", "SECURITY.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


def table(heading):
    """Rows of the first table under a heading of the interface, each a list of cells."""
    section = re.split(r"\n#+ ", INTERFACE.split(f"# {heading}\n", 1)[1])[0]
    rows = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(ROOT / "scripts" / "update_tables.py"))


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/interface.md", "docs/lidar.md", "docs/results.md", "docs/troubles.md"],
)
def test_tables_are_those_that_the_code_gives(tables, name):
    pytest.importorskip("rclpy", reason="the node's parameters need ROS 2")
    pytest.importorskip("yaml")
    assert name in tables["FILES"]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert tables["updated"](text) == text, "run: make tables"


def test_parameter_file_is_that_of_the_table(tables):
    pytest.importorskip("rclpy", reason="the node's parameters need ROS 2")
    text = (ROOT / tables["PARAMETER_FILE"]).read_text(encoding="utf-8")
    assert tables["parameter_file"]() == text, "run: make tables"


def test_every_block_is_in_a_document(tables):
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in tables["FILES"])
    for name in tables["BLOCKS"]:
        assert f"<!-- {name} -->\n|" in text


def test_topics_are_those_of_the_node():
    """Every topic that the code names is in the table, and no other."""
    sources = "".join(path.read_text() for path in (ROOT / "kdmos_ros" / "ros").glob("*.py"))
    created = r'create_(?:publisher|subscription|service)\(\s*\w+,\s*"([^"]+)"'
    in_code = set(re.findall(created, sources))
    documented = {row[0].strip("`") for row in table("Topics")}
    assert in_code - documented == {"~/reset"}, "in the code, but not in the table"
    assert "`~/reset`" in INTERFACE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_the_documents_name_exist(name):
    path = ROOT / name
    linked = re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text(encoding="utf-8"))
    for target in linked:
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_modules_that_the_documents_name_exist(name):
    # `features/grid.py`, or with the package's or another folder's name before it.
    text = (ROOT / name).read_text(encoding="utf-8")
    rooms = sorted(p.name for p in (ROOT / "kdmos_ros").iterdir() if p.is_dir())
    for room, rest in re.findall(rf"`(?:kdmos_ros/)?({'|'.join(rooms)})/([\w/]+\.py)`", text):
        assert (ROOT / "kdmos_ros" / room / rest).exists(), f"{room}/{rest}"


def test_every_page_is_in_the_site():
    yaml = pytest.importorskip("yaml")
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r"[\w]+\.md", str(site["nav"])))


def test_readme_is_read_in_three_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900
