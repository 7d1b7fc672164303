"""Hands jobs to Dask, which spreads them over many machines.

kdmos_ros must be installed on each of them, and the paths of bags and outputs must mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from kdmos_ros.errors import KdmosError
from kdmos_ros.labelling.many import Job, OnResult, Result, run_job

_TIMEOUT_S = 20


def run_on_dask(address: str | None, jobs: Sequence[Job], on_result: OnResult) -> None:
    """Run jobs on a cluster; jobs that it loses (dead machines) count as failed.

    Stopped by a signal, it leaves at once; jobs that are in work are finished where they are.

    Args:
        address: of its scheduler; None: as Dask is configured, else a cluster of its own on this
            machine.
        on_result: is called with each result as it comes.

    Raises:
        ModuleNotFoundError: Dask is not installed.
        KdmosError: there is no cluster at the address.
    """
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout=_TIMEOUT_S) if address else Client(threads_per_worker=1)
    except (OSError, ValueError) as error:
        raise KdmosError(f"no Dask cluster at {address}: {_line(error)}") from error
    with client:
        names = {client.submit(run_job, job, pure=False): job.name for job in jobs}
        for future in as_completed(list(names)):
            lost = future.exception()
            on_result(future.result() if lost is None else _lost(names[future], lost))


def _lost(name: str, error: BaseException) -> Result:
    return Result(name, 1, f"lost by the cluster: {_line(error)}")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
