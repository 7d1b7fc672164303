"""From the logits of voxels to labels and probabilities of points."""

from __future__ import annotations

import numpy as np
from numba import njit

from kdmos_ros.labels import MOVABLE, MOVING, STATIC

# The logit of MOVING in a scan without any other one to compare with: what can move may move or
# not, and nothing tells which.
NO_EVIDENCE = -np.inf

_BLOCK = 256
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_INFINITY = np.float32(np.inf)
# Beyond this exp leaves the normal numbers.
_FARTHEST = np.float32(87)
_PER_LN_2 = np.float32(1.44269504088896341)
# ln 2 in two parts, so that n times the first is exact.
_LN_2_HIGH, _LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def gather(logits, query, key, slot, z_bin, index, threshold, labels, probability):  # type: ignore[no-untyped-def]
    """Each point reads its voxel's logits; results go to its row in labels and probability.

    The unlabelled class is never an answer: probabilities are over static, movable, moving.

    Args:
        logits: (K, n_z, 4) float32; slot, z_bin: (P,) int32; index: (P,) int64 rows of the scan.
        query, key: (P, Q), (K, Q) float32: their product is added to a point's logit of MOVING.
        threshold: probability from which a point is MOVING.
        labels: (N,) uint8 out. probability: (N,) float32 out.
    """
    # Flat, and with unsigned places: negative ones would be looked after.
    n_z, asks = np.uint32(logits.shape[1]), np.uint32(query.shape[1])
    voxel, asked, answers = logits.reshape(-1), query.reshape(-1), key.reshape(-1)
    # How far static and movable lead before moving, of the points of a block.
    static, movable = np.zeros(_BLOCK, np.float32), np.zeros(_BLOCK, np.float32)
    p, stands = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.uint8)
    for start in range(0, len(index), _BLOCK):
        n = min(_BLOCK, len(index) - start)
        for j in range(n):
            i, cell = np.uint32(start + j), np.uint32(slot[start + j])
            first = np.uint32(4) * (cell * n_z + np.uint32(z_bin[start + j]))
            product = _ZERO
            for q in range(asks):
                product += asked[i * asks + q] * answers[cell * asks + q]
            moves = voxel[first + MOVING] + product
            static[j] = voxel[first + STATIC] - moves
            movable[j] = voxel[first + MOVABLE] - moves
            stands[j] = MOVABLE if voxel[first + MOVABLE] > voxel[first + STATIC] else STATIC
        for j in range(_BLOCK):
            p[j] = _ONE / (_ONE + exp(static[j]) + exp(movable[j]))
            p[j] = p[j] if static[j] < _INFINITY else _ZERO
        for j in range(n):
            labels[index[start + j]] = MOVING if p[j] >= threshold else stands[j]
            probability[index[start + j]] = p[j]


@njit(nogil=True, inline="always")
def exp(x):  # type: ignore[no-untyped-def]
    """exp of a float32 to 2e-6 of its value, without a branch, so that loops are vectorised.

    2^n times a polynomial of the rest (Cephes' expf, Moshier 1989); beyond 87 as at 87.
    """
    x = x if x > -_FARTHEST else -_FARTHEST
    x = x if x < _FARTHEST else _FARTHEST
    n = np.floor(x * _PER_LN_2 + _HALF)
    r = x - n * _LN_2_HIGH - n * _LN_2_LOW
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + _HALF
    y = y * r * r + r + _ONE
    power = np.int32((np.int32(n) + np.int32(127)) << 23).view(np.float32)
    return y * power
