"""The node's process: how it starts, ends on a signal, and says in one line what is wrong."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation

from kdmos_ros.dds_profile import dds_profile
from kdmos_ros.errors import KdmosError
from kdmos_ros.pipeline.memory import share_one_heap
from kdmos_ros.ros.compat import try_shutdown
from kdmos_ros.ros.node import MosNode

_EXIT_ERROR = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit status."""
    share_one_heap()
    os.environ.update(dds_profile(os.environ))
    node = None
    with _interrupts_by_ros() as interrupted:
        try:
            rclpy.init(args=arguments)
            node = MosNode()
            if node.parameters["autostart"]:
                node.start_aside()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            while rclpy.ok() and not interrupted.is_set():
                executor.spin_once()
        except ExternalShutdownException:
            pass
        except rclpy_implementation.RCLError as error:
            # A signal ends the context at any moment, also while a callback publishes. Without a
            # node there was none yet: the arguments are wrong.
            if node is None:
                return _fail(_without_places(str(error)))
            if rclpy.ok():
                raise
        except KdmosError as error:
            return _fail(str(error))
        finally:
            if node is not None:
                node.stop()
                node.destroy_node()
            try_shutdown()
    return 0


def end(status: int) -> NoReturn:
    """End the process; a model that still loads or compiles is not waited for."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


@contextmanager
def _interrupts_by_ros() -> Iterator[threading.Event]:
    """Leave SIGINT to rclpy, which ends spinning; Python would raise KeyboardInterrupt besides.

    Under a terminal and launch, Ctrl-C comes twice, the second one in the middle of ending.
    Yields what is set by a signal, also by one that came before rclpy listened.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread may set handlers
        return
    previous = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def _fail(message: str) -> int:
    print(f"mos_node: error: {' '.join(message.split())}", file=sys.stderr)
    return _EXIT_ERROR


def _without_places(message: str) -> str:
    """A message of rcl without the lines of its C files."""
    return re.sub(r",?\s*at \S+\.[ch](pp)?:\d+", "", message)
