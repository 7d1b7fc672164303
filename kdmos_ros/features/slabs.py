"""Height slabs above the local ground: in which one is a point?"""

from __future__ import annotations

import numpy as np
from numba import njit

NO_SLAB = -1


@njit(cache=True, nogil=True)
def slabs_of(height, slabs):  # type: ignore[no-untyped-def]
    """Number (N,) int32 of the slab of each height; NO_SLAB outside of all, and for NaN.

    Args:
        height: (N,) float32, metres above the local ground.
        slabs: (S + 1,) float32 edges, ascending; the upper edge of each belongs to it.
    """
    found = np.full(len(height), NO_SLAB, np.int32)
    top = slabs[-1]
    # Counted edge by edge without branches, so that the loops are vectorised.
    for edge in slabs[:-1]:
        for i in range(len(height)):
            found[i] += np.int32(1) if edge < height[i] <= top else np.int32(0)
    return found
