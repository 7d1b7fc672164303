"""Runs many independent tasks in processes of their own, and ends when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from kdmos_ros.errors import KdmosError

Result = TypeVar("Result")


def in_processes(
    function: Callable[..., Result],
    tasks: Iterable[tuple[Any, ...]],
    processes: int,
    made: str,
    on_result: Callable[[Result], None] = lambda result: None,
) -> None:
    """Call a function of a module with the arguments of each task; the first error ends all.

    Args:
        processes: how many at a time.
        made: what the tasks write, each whole or not at all; for the message.
        on_result: called here with each result, in the order in which they are there.

    Raises:
        KdmosError: a process died: it was killed, perhaps for memory, or crashed.
        Exception: what the function raised, or KeyboardInterrupt; without waiting for the rest.
    """
    others = set(multiprocessing.active_children())
    # Spawned, not forked: a fork copies the locks of libraries that run threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)
    try:
        for done in as_completed([pool.submit(function, *task) for task in tasks]):
            on_result(done.result())
    except BaseException as error:
        # The pool itself would wait until the tasks that run are done.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise KdmosError(
                "a process died (killed, out of memory, or crashed);"
                f" the {made} made so far are kept: run the command again to continue"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # A key press in the terminal goes to all processes: the first one tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Who waits for tasks does not notice that nobody is left to give any.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
