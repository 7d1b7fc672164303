"""What a machine is and can do: processor, and its measured peaks of arithmetic and memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdmos_ros.errors import KdmosError

_SIDE = 1536  # of the square matrices
_COPIED = 1 << 25  # float32 values a thread: far more than a core's own caches hold
_REPEATS = 7
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Peaks:
    """Best of several tries.

    Attributes:
        gmac_per_s: multiply-accumulates of float32 in large matrix products, 1e9 a second.
        gb_per_s: bytes read and written by large copies, 1e9 a second.
    """

    threads: int
    gmac_per_s: float
    gb_per_s: float


def describe() -> dict[str, Any]:
    """What the figures depend on: processor, cores, system."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                name = value
            if key == "flags":
                flags = value
    except OSError:
        pass  # no /proc: the architecture has to do
    vector = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16")
    return {
        "processor": name,
        "vector_instructions": [flag for flag in vector if flag in flags.split()],
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def peaks(threads: int) -> Peaks:
    """Measure, in a process of its own: the number of BLAS threads is fixed when numpy loads.

    Args:
        threads: 0 means all cores.

    Raises:
        KdmosError: the process failed.
    """
    threads = threads or len(os.sched_getaffinity(0))
    environment = {**os.environ, **dict.fromkeys(_BLAS_THREADS, str(threads))}
    command = [sys.executable, "-m", __name__, str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KdmosError(f"cannot measure the machine's peaks: {done.stderr.strip()[-200:]}")
    return Peaks(threads, **json.loads(done.stdout))


def _measure(threads: int) -> dict[str, float]:
    a = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    product = np.empty_like(a)
    gmac = _SIDE**3 / _best(lambda: np.matmul(a, a, out=product)) / 1e9
    sources = [np.ones(_COPIED, np.float32) for _ in range(threads)]
    targets = [np.zeros(_COPIED, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(np.copyto, targets, sources)))
    moved = 2 * sum(source.nbytes for source in sources)
    return {"gmac_per_s": round(gmac, 1), "gb_per_s": round(moved / seconds / 1e9, 1)}


def _best(work: Any) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
