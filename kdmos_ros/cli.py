"""The `kdmos` command. Each module of kdmos_ros.commands is a sub-command.

Such a module has `add_parser(subparsers)`, which sets the default `run`: a function of the parsed
arguments that returns the exit status. What needs time to import is imported inside `run`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from kdmos_ros import __version__, commands
from kdmos_ros.commands._options import spell_out
from kdmos_ros.errors import KdmosError
from kdmos_ros.pipeline.memory import keep_freed_memory

EXIT_ERROR = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
# Which extra of the package brings a missing library.
_EXTRAS = {
    "PIL": "tools",
    "copclib": "copc",
    "distributed": "dask",
    "laspy": "las",
    "matplotlib": "tools",
    "onnx": "train",
    "onnxscript": "train",
    "plyfile": "clouds",
    "pypcd4": "clouds",
    "pyarrow": "argoverse",
    "rclpy": "ros",
    "rerun": "view",
    "rosbags": "tools",
    "torch": "train",
    "tqdm": "tools",
    "velodyne_decoder": "velodyne",
    "yaml": "tools",
}
# What no extra can bring: ouster-sdk requires a release of rosbags from before 0.11, but works with
# later ones.
_OUSTER = "pip install --no-deps ouster-sdk more-itertools"
_BY_HAND = {"ouster": _OUSTER, "more_itertools": _OUSTER}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"kdmos: error: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but an option that may stand alone takes no file for its value."""
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(spell_out(words), namespace)


def make_parser() -> argparse.ArgumentParser:
    """The parser with all sub-commands."""
    parser = _Parser(prog="kdmos", description="Moving-object segmentation of LiDAR scans.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for module in sorted(m.name for m in pkgutil.iter_modules(commands.__path__)):
        if not module.startswith("_"):
            importlib.import_module(f"{commands.__name__}.{module}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    keep_freed_memory()
    with _clean_up_on_sigterm():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parsed = make_parser().parse_args(arguments)
        parsed.words = sys.argv[1:] if arguments is None else list(arguments)
        status = int(parsed.run(parsed))
        sys.stdout.flush()  # here, so that a closed pipe is seen below
        return status
    except KdmosError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("kdmos: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, e.g. `head`, has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _BY_HAND:
            return _fail(f"this needs the Python package {package}: {_BY_HAND[package]}")
        if package not in _EXTRAS:
            raise
        return _fail(
            f"this command needs the Python package {package}:"
            f" pip install 'kdmos_ros[{_EXTRAS[package]}]'"
        )
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")


def _fail(message: str) -> int:
    print(f"kdmos: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_ERROR


@contextmanager
def _clean_up_on_sigterm() -> Iterator[None]:
    """Ended from outside, a command still removes what it has half written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
