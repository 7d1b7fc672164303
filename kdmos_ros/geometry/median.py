"""The median in compiled code: numba's own takes a second to compile."""

from __future__ import annotations

from numba import njit


@njit(nogil=True)
def median(values):  # type: ignore[no-untyped-def]
    """Median of floats (n,), n > 0, none of them NaN. Changes their order."""
    half = len(values) // 2
    upper = _select(values, half)
    if len(values) % 2:
        return upper
    lower = values[0]
    for i in range(1, half):
        lower = max(lower, values[i])
    return (lower + upper) / 2


@njit(nogil=True)
def _select(values, k):  # type: ignore[no-untyped-def]
    """The k-th smallest, with none greater before it and none smaller behind (Hoare's FIND)."""
    left, right = 0, len(values) - 1
    while left < right:
        pivot, i, j = values[k], left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            left = i
        if i > k:
            right = j
    return values[k]
