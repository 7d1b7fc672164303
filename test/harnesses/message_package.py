"""Builds a package of ROS messages for tests, as colcon would; needs a C compiler, for a minute."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


def build(root: Path, package: str, messages: dict[str, str]) -> Path:
    """Make a package importable from a folder, in this process.

    Args:
        root: a folder for it, which is to be put on `sys.path`.
        messages: definitions by name; their types come from std_msgs or stand before them.

    The test is skipped where the generators or a compiler are missing.
    """
    for module in ("rosidl_adapter", "rosidl_generator_c", "rosidl_generator_py"):
        pytest.importorskip(module)
    if shutil.which("g++") is None or shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    prefix = Path(sysconfig.get_paths()["data"])
    include = prefix / "include"
    if not (include / "rosidl_runtime_c").is_dir():
        pytest.skip("the headers of ROS are not where the wheels put them")
    source = root / "source" / package
    (source / "msg").mkdir(parents=True)
    for name, definition in messages.items():
        (source / "msg" / f"{name}.msg").write_text(definition)
    out = root / package
    _generate(source, package, list(messages), out, prefix / "share")
    _compile(out, package, root, include, prefix / "lib")
    return root


def _generate(source: Path, package: str, names: list[str], out: Path, share: Path) -> None:
    code = f"""
import pathlib
from rosidl_adapter.cli import TranslateMsgToIDL
import rosidl_cli.command.translate.api as api
api.load_translate_extensions = lambda **_: [TranslateMsgToIDL("msg")]
from rosidl_generator_c.cli import GenerateC
from rosidl_generator_cpp.cli import GenerateCpp
from rosidl_generator_py.cli import GeneratePython
from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
from rosidl_typesupport_fastrtps_cpp.cli import GenerateFastRTPSCppTypesupport
from rosidl_typesupport_c.cli import GenerateCTypesupport
from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport
files = ["{source}:msg/" + name + ".msg" for name in {names!r}]
out, include = pathlib.Path("{out}"), ["{share}"]
kinds = ["rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c"]
both = dict(typesupport_implementations=kinds)
for maker in (
    GenerateC("c"), GenerateCpp("cpp"), GenerateFastRTPSCTypesupport("c"),
    GenerateFastRTPSCppTypesupport("cpp"), GenerateCTypesupport("c", **both),
    GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"]),
):
    maker.generate("{package}", files, include, out)
other = out.parent / "introspection" / "{package}"
GenerateIntrospectionCTypesupport("c").generate("{package}", files, include, other)
"""
    environment = {**os.environ, "AMENT_PREFIX_PATH": str(share.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def _compile(out: Path, package: str, root: Path, include: Path, lib: Path) -> None:
    """The library that Python imports, and those of the type supports, which ROS loads by name."""
    numpy = subprocess.run(
        [sys.executable, "-c", "import numpy; print(numpy.get_include())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    other = root / "introspection"
    headers = [root, other, include, *(f for f in include.iterdir() if f.is_dir())]
    paths = [f"-I{path}" for path in (*headers, sysconfig.get_paths()["include"], numpy)]
    kinds = ("generator_c", "typesupport_c", "typesupport_fastrtps_c", "generator_py",
             "typesupport_introspection_c")  # fmt: skip
    libraries = [
        *(f"{p}__rosidl_{kind}" for p in ("std_msgs", "builtin_interfaces") for kind in kinds),
        *("rosidl_runtime_c", "rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c"),
        *("rosidl_typesupport_fastrtps_cpp", "rosidl_typesupport_introspection_c"),
        *("rmw", "fastcdr", "rcutils"),
    ]
    linked = [f"-L{lib}", f"-L{out}", f"-Wl,-rpath,{lib}", f"-Wl,-rpath,{out}"]
    linked += [f"-l{name}" for name in libraries if (lib / f"lib{name}.so").exists()]

    def build_library(name: str, files: list[Path], *more: str) -> None:
        objects = []
        for file in files:
            objects.append(file.with_suffix(f"{file.suffix}.o"))
            compiler = "gcc" if file.suffix == ".c" else "g++"
            command = [compiler, "-c", "-fPIC", "-O0", "-w", *paths, "-o", objects[-1], file]
            subprocess.run(command, check=True)
        target = out / f"{name}.so"
        options = ["-shared", f"-Wl,-soname={target.name}", "-o", target]
        subprocess.run(["g++", *options, *objects, *more, *linked], check=True)
        if name.startswith("lib"):  # ROS asks for it by its name alone, which is found if loaded
            ctypes.CDLL(str(target), ctypes.RTLD_GLOBAL)

    detail = out / "msg" / "detail"
    base = f"{package}__rosidl_generator_c"
    build_library(f"lib{base}", sorted(detail.glob("*.c")))
    fast = sorted(detail.glob("*__type_support_c.cpp"))
    build_library(f"lib{package}__rosidl_typesupport_fastrtps_c", fast, f"-l{base}")
    introspection = sorted(other.rglob("*.c"))
    name = f"lib{package}__rosidl_typesupport_introspection_c"
    build_library(name, introspection, f"-l{base}")
    rest = [*out.glob("*.c"), *(out / "msg").glob("*.c"), *(out / "msg").glob("*.cpp")]
    build_library(f"{package}_s__rosidl_typesupport_c", sorted(rest), f"-l{base}")
