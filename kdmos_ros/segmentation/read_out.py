"""From the logits of voxels to labels and probabilities of points."""

from __future__ import annotations

import numpy as np
from numba import njit

from kdmos_ros.labels import MOVABLE, MOVING, STATIC

# The logit of MOVING in a scan without any other one to compare with: what can move may move or
# not, and nothing tells which.
NO_EVIDENCE = -np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def gather(logits, query, key, slot, z_bin, index, threshold, labels, probability):  # type: ignore[no-untyped-def]
    """Each point reads its voxel's logits; results go to its row in labels and probability.

    The unlabelled class is never an answer: probabilities are over static, movable, moving.

    Args:
        logits: (K, n_z, 4) float32; slot, z_bin: (P,) int32; index: (P,) int64 rows of the scan.
        query, key: (P, Q), (K, Q) float32: their product is added to a point's logit of MOVING. If
            Q is 0 points of a voxel are alike, and each voxel is worked out once.
        threshold: probability from which a point is MOVING.
        labels: (N,) uint8 out. probability: (N,) float32 out.
    """
    n_z, asks = logits.shape[1], query.shape[1]
    done = np.zeros(len(logits) * n_z, np.bool_)
    voxel_label = np.zeros(len(logits) * n_z, np.uint8)
    voxel_probability = np.empty(len(logits) * n_z, np.float32)
    for i in range(len(index)):
        k = slot[i] * n_z + z_bin[i]
        if asks or not done[k]:
            done[k] = True
            voxel = logits[slot[i], z_bin[i]]
            moves = voxel[MOVING]
            for j in range(asks):
                moves += query[i, j] * key[slot[i], j]
            top = max(voxel[STATIC], max(voxel[MOVABLE], moves))
            static = np.exp(voxel[STATIC] - top)
            movable = np.exp(voxel[MOVABLE] - top)
            moving = np.exp(moves - top)
            p = moving / (static + movable + moving)
            voxel_probability[k] = p
            stands = MOVABLE if movable > static else STATIC
            voxel_label[k] = MOVING if p >= threshold else stands
        labels[index[i]] = voxel_label[k]
        probability[index[i]] = voxel_probability[k]
