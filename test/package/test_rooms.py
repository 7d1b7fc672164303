"""The rooms: what stands in them, what they may import, and the picture of it."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "kdmos_ros"
MOST_ARGUMENTS = 10
MESSAGES = ("_msgs", "_srvs", "_interfaces")


def imports_of(path):
    """Names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def is_ros(name):
    """Whether a module is one of ROS: rclpy, launch, TF or messages."""
    top = name.split(".")[0]
    libraries = ("launch", "launch_ros", "rclpy", "tf2_ros", "tf_transformations")
    return top in libraries or top.endswith(MESSAGES)


@pytest.mark.parametrize("path", sorted((PACKAGE / "ros").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_everything_in_ros_is_about_ros(path):
    names = list(imports_of(path))
    assert any(is_ros(name) or name.startswith("kdmos_ros.ros.") for name in names)


def test_nothing_else_imports_ros():
    # As the contract in pyproject.toml, but also within functions and for all kinds of messages.
    outside = [p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE / "ros"]
    assert outside
    guilty = {str(p): n for p in outside for n in imports_of(p) if is_ros(n)}
    assert guilty == {}


@pytest.mark.parametrize(
    "folder", sorted(p.parent for p in PACKAGE.rglob("__init__.py")), ids=lambda p: p.name
)
def test_every_room_says_in_one_line_what_it_holds(folder):
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert text and "\n\n" not in text


def modules():
    """Name of each module of the package -> its file."""
    paths = PACKAGE.rglob("*.py")
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}


def test_no_files_import_each_other():
    files = modules()
    graph = {}
    for name, path in files.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
                graph[name] |= {w if w in files else node.module for w in wanted} & files.keys()
    assert sum(map(len, graph.values())) > 500
    with_nothing_below = {name for name, below in graph.items() if not below}
    while with_nothing_below:
        graph = {n: b - with_nothing_below for n, b in graph.items() if n not in with_nothing_below}
        with_nothing_below = {name for name, below in graph.items() if not below}
    # What is left imports each other, or something that does.
    assert sorted(graph) == []


def argument_names(function):
    """Names of the arguments of a function or method, without self and cls."""
    a = function.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs]
    return [n.arg for n in named if n.arg not in ("self", "cls")]


def test_no_function_takes_more_than_ten_arguments():
    # What belongs together travels in a record; compiled functions take named tuples.
    long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = argument_names(node)
                if len(names) > MOST_ARGUMENTS:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {len(names)}")
    assert long == []


def test_a_test_stands_where_its_module_stands():
    rooms = {p.relative_to(PACKAGE) for p in PACKAGE.rglob("*") if p.is_dir()}
    # What is not in the package: scripts, docs, set-up; what many rooms do together.
    rooms |= {Path("package"), Path("faults"), Path(".")}
    tests = sorted((ROOT / "test").rglob("test_*.py"))
    assert tests
    strays = [str(p) for p in tests if p.parent.relative_to(ROOT / "test") not in rooms]
    assert strays == []


def test_the_picture_of_the_layers_is_that_of_the_contract():
    pytest.importorskip("importlinter")
    drawn = runpy.run_path(str(ROOT / "scripts" / "draw_layers.py"))["drawing"]()
    assert (ROOT / "docs" / "layers.svg").read_text(encoding="utf-8") == drawn, "run: make layers"
