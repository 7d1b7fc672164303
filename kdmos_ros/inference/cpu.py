"""What this machine's processor can do."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

# Vector instructions that multiply and add INT8 at four times the rate of single precision (VNNI).
_INT8 = {"avx512_vnni", "avx_vnni"}


@lru_cache
def flags() -> frozenset[str]:
    """The features that Linux lists for an x86 processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(
        next((line.split(":")[1] for line in lines if line[:5] == "flags"), "").split()
    )


def multiplies_int8() -> bool:
    """Whether INT8 graphs are much faster here than those in single precision."""
    return bool(_INT8 & flags())
