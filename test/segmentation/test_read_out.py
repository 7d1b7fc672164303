"""Reading points' labels out of voxels, against the definition in double precision."""

import numpy as np
import pytest

from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.segmentation.read_out import NO_EVIDENCE, gather


@pytest.mark.parametrize("asks", [0, 8])
@pytest.mark.parametrize("spread", [1.0, 60.0])
def test_each_point_reads_its_voxel_and_asks_its_cell(asks, spread):
    rng = np.random.default_rng(0)
    n, cells, n_z = 700, 40, 6  # no multiple of a block
    logits = rng.normal(0, spread, (cells, n_z, 4)).astype(np.float32)
    logits[3, :, MOVING] = NO_EVIDENCE
    query, key = (rng.normal(0, 1, (k, asks)).astype(np.float32) for k in (n, cells))
    slot, z_bin = (rng.integers(0, k, n).astype(np.int32) for k in (cells, n_z))
    index = rng.permutation(900)[:n].astype(np.int64)
    labels, probability = np.zeros(900, np.uint8), np.zeros(900, np.float32)
    gather(logits, query, key, slot, z_bin, index, 0.6, labels, probability)
    voxel = logits[slot, z_bin].astype(np.float64)
    voxel[:, MOVING] += (query.astype(np.float64) * key[slot]).sum(1)
    top = np.exp(voxel[:, [STATIC, MOVABLE, MOVING]] - voxel[:, 1:].max(1, keepdims=True))
    expected = top[:, 2] / top.sum(1)
    np.testing.assert_allclose(probability[index], expected, rtol=0, atol=2e-6)
    assert (probability[index][slot == 3] == 0).all()
    stands = np.where(voxel[:, MOVABLE] > voxel[:, STATIC], MOVABLE, STATIC)
    clear = np.abs(expected - 0.6) > 1e-5
    wanted = np.where(expected >= 0.6, MOVING, stands)
    np.testing.assert_array_equal(labels[index][clear], wanted[clear])
    assert {STATIC, MOVABLE, MOVING} <= set(wanted)
    others = np.setdiff1d(np.arange(900), index)
    assert not labels[others].any() and not probability[others].any()
