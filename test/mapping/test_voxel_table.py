"""Sums by voxel."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, transform
from kdmos_ros.mapping.voxel_table import VoxelTable

POSE = from_pose([3.0, -2.0, 1.0], [0, 0, np.sin(0.4), np.cos(0.4)])


def cloud(seed, n=3000):
    return np.random.default_rng(seed).normal(0, 3, (n, 3)).astype(np.float32)


def add(table, points, pose=POSE):
    keys, place = table.place(pose, points)
    table.add(keys, np.column_stack([np.ones(len(keys)), place]))


def means(table):
    return table.middles() + table.origin + table.sums[:, 1:] / table.sums[:, :1]


def test_means_by_voxel_in_the_order_of_first_hits():
    table, voxels = VoxelTable(0.5, 4), {}
    for seed in range(4):
        add(table, cloud(seed))
        for p in transform(POSE, cloud(seed).astype(np.float64)):
            voxels.setdefault(tuple(np.floor(p / 0.5).astype(int)), []).append(p)
    expected = np.array([np.mean(v, axis=0) for v in voxels.values()])
    assert len(table) == len(expected) > 1000  # beyond the first capacity
    np.testing.assert_allclose(means(table), expected, atol=1e-5)
    size = len(table)
    add(table, cloud(0))
    assert len(table) == size


def test_restored():
    table, again = VoxelTable(0.5, 4), VoxelTable(0.5, 4)
    add(table, cloud(0))
    again.origin = table.origin
    again.restore(table.keys, table.sums)
    for one in (table, again):
        add(one, cloud(1))
    np.testing.assert_array_equal(table.keys, again.keys)
    np.testing.assert_array_equal(table.sums, again.sums)


def test_neighbours():
    table = VoxelTable(1.0, 4)
    points = np.array([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [0.5, -0.5, 1.5], [3.5, 0.5, 0.5]])
    add(table, points.astype(np.float32), np.eye(4))
    found = table.neighbours(np.arange(4), 1)
    assert [sorted(row[row >= 0]) for row in found] == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [3]]
    sums = table.sums_around(np.arange(4), 1, (0,))
    np.testing.assert_array_equal(sums[:, 0], [3, 3, 3, 1])


def test_far_from_the_origin_of_the_frame():
    far = POSE.copy()
    far[:3, 3] += [600_000.0, 5_300_000.0, 500.0]
    table = VoxelTable(0.2, 4)
    add(table, cloud(0, 100), far)
    assert np.abs(means(table) - far[:3, 3]).max() < 30


def test_out_of_reach_is_a_clear_error():
    with pytest.raises(KdmosError, match="larger voxels"):
        add(VoxelTable(0.001, 4), np.array([[5000.0, 0, 0]], np.float32))


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_voxel_size_must_be_above_zero(size):
    with pytest.raises(ValueError, match="above 0"):
        VoxelTable(size, 4)
