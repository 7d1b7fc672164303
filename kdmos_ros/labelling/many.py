"""Many bags at once: each by a process of its own, so that none takes others down with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock

from kdmos_ros.labelling.interrupt import Interrupt

_POLL_S = 0.2
_COMMAND = (sys.executable, "-m", "kdmos_ros.cli")


@dataclass(frozen=True)
class Job:
    """One bag: a name for people, and the arguments of the `kdmos` that labels it."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a job ended: exit status (0 is well), and what it printed last."""

    name: str
    status: int
    text: str


OnResult = Callable[[Result], None]


def run_job(job: Job) -> Result:
    """Run a job here and wait for it; what a cluster runs on its machines."""
    return _run(job, lambda process: None)


def run_processes(
    jobs: Sequence[Job], parallel: int, interrupt: Interrupt, on_result: OnResult
) -> None:
    """Run jobs on this machine, so many at a time.

    Args:
        interrupt: when it has a signal, no job is begun any more, and those that run are asked
            to save what they have.
        on_result: is called in this thread with each result as it comes.
    """
    running: set[subprocess.Popen[str]] = set()
    lock = Lock()

    def started(process: subprocess.Popen[str]) -> None:
        with lock:
            running.add(process)
            if interrupt.signal:
                process.send_signal(signal.SIGTERM)

    def run(job: Job) -> Result:
        if interrupt.signal:
            return Result(job.name, 128 + interrupt.signal, "not begun")
        return _run(job, started)

    with ThreadPoolExecutor(parallel) as pool:
        pending: set[Future[Result]] = {pool.submit(run, job) for job in jobs}
        told = False
        while pending:
            done, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
            for future in done:
                on_result(future.result())
            if interrupt.signal and not told:
                told = True
                with lock:
                    for process in running:
                        if process.poll() is None:
                            process.send_signal(signal.SIGTERM)


def _run(job: Job, started: Callable[[subprocess.Popen[str]], None]) -> Result:
    process = subprocess.Popen(
        [*_COMMAND, *job.arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A key press in the terminal goes to whole process groups: children hear of it from us.
        start_new_session=True,
    )
    started(process)
    out, err = process.communicate()
    status = process.returncode
    if status < 0:
        err += f"\nended by signal {-status}"
    lines = (out if status == 0 else err).strip().splitlines()
    text = "; ".join(lines) if status == 0 else (lines[-1] if lines else "no message")
    return Result(job.name, status, text.removeprefix("kdmos: ").removeprefix("error: "))
