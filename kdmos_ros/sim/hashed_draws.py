"""Random numbers that are hashes of what they are for, so that they do not depend on the order."""

from __future__ import annotations

import numpy as np
from numba import njit

_F = np.float32
_options = {"cache": True, "nogil": True, "fastmath": True}


@njit(inline="always", **_options)
def uniform(seed, a, b):  # type: ignore[no-untyped-def]
    """A float32 in (0, 1) hashed from three integers (finaliser of MurmurHash3)."""
    x = np.uint64(seed) + np.uint64(a) * np.uint64(0x9E3779B97F4A7C15)
    x += np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xFF51AFD7ED558CCD)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xC4CEB9FE1A85EC53)
    x ^= x >> np.uint64(33)
    return _F(np.int64(x >> np.uint64(41)) + 0.5) * _F(1.0 / 8388608.0)
