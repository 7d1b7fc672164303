"""Sums by voxel that grow with the place seen, not with the drive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.errors import KdmosError

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

# Voxel coordinates are packed into one integer, 21 bits each.
_BITS = 21
_REACH = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1
_EMPTY = -1
_FULL = 0.6
# Rows whose neighbours are held at a time.
_BLOCK = 50_000


class VoxelTable:
    """A row of sums for each voxel, in the order in which voxels were first hit.

    Args:
        voxel_m: edge of a voxel, metres.
        n_sums: columns.

    Attributes:
        origin: (3,) float64 of the voxels in the map frame, once it is known.
    """

    def __init__(self, voxel_m: float, n_sums: int) -> None:
        if not (math.isfinite(voxel_m) and voxel_m > 0):
            raise ValueError(f"voxel size must be above 0, got {voxel_m}")
        self.voxel_m = voxel_m
        self.origin: npt.NDArray[np.float64] | None = None
        self._size = 0
        self._keys = np.empty(1024, np.int64)
        self._sums = np.empty((1024, n_sums), np.float32)
        self._table = np.full(4096, _EMPTY, np.int64)

    def __len__(self) -> int:
        return self._size

    @property
    def keys(self) -> Int64:
        """(V,) int64, see `unpack` and `rows_of`."""
        return self._keys[: self._size]

    @property
    def sums(self) -> Float32:
        """(V, n_sums) float32; may be written to."""
        return self._sums[: self._size]

    def place(
        self, map_T_sensor: npt.NDArray[np.float64], points: Float32
    ) -> tuple[Int64, npt.NDArray[np.float64]]:
        """Keys (N,) of points (N, 3), sensor frame, and where in its voxel each is: (N, 3) metres
        from the middle.

        Args:
            map_T_sensor: (4, 4) pose; the first one fixes the origin.

        Raises:
            KdmosError: a point is further from the first pose than voxels of this size can count.
        """
        if self.origin is None:
            # Near the first pose, so that maps in UTM coordinates are within reach too.
            self.origin = np.floor(map_T_sensor[:3, 3])
        local = points.astype(np.float64) @ map_T_sensor[:3, :3].T
        local += map_T_sensor[:3, 3] - self.origin
        cells = np.floor(local / self.voxel_m)
        if cells.size and np.abs(cells).max() >= _REACH:
            raise KdmosError(
                f"the map reaches further than {_REACH * self.voxel_m / 1000:.0f} km from its"
                " start: take larger voxels"
            )
        return _pack(cells), local - (cells + 0.5) * self.voxel_m

    def add(self, keys: Int64, values: npt.NDArray[Any]) -> None:
        """Add values (N, n_sums) to the sums of their voxels (N,)."""
        self._reserve(len(keys))
        values = np.ascontiguousarray(values, np.float32)
        self._size = _accumulate(keys, values, self._table, self._keys, self._sums, self._size)

    def restore(self, keys: Int64, sums: Float32) -> None:
        """Take the keys and sums of a table that was; this one must be empty."""
        self._reserve(len(keys))
        self._keys[: len(keys)] = keys
        self._sums[: len(keys)] = sums
        self._size = len(keys)
        _fill(self._table, self._keys, self._size)

    def middles(self) -> npt.NDArray[np.float64]:
        """(V, 3) middles of the voxels, metres from the origin."""
        cells = np.stack([(self.keys >> (_BITS * i)) & _MASK for i in (2, 1, 0)], axis=1)
        return (cells - _REACH + 0.5) * self.voxel_m

    def neighbours(self, rows: Int64, reach: int) -> Int64:
        """(K, (2 reach + 1)^3) rows of the voxels around each of rows (K,); -1 where none is."""
        steps = np.arange(-reach, reach + 1)
        x, y, z = (a.ravel() for a in np.meshgrid(steps, steps, steps, indexing="ij"))
        offsets = (x << (2 * _BITS)) + (y << _BITS) + z
        return _find(self.keys, self.keys[rows], offsets, self._table)

    def sums_around(self, rows: Int64, reach: int, columns: Sequence[int]) -> Float32:
        """(K, C) sums of some columns over the voxels around each of rows (K,)."""
        found = np.empty((len(rows), len(columns)), np.float32)
        for start in range(0, len(rows), _BLOCK):
            near = self.neighbours(rows[start : start + _BLOCK], reach)
            for i, column in enumerate(columns):
                values = np.append(self.sums[:, column], np.float32(0))  # the last: of no voxel
                found[start : start + _BLOCK, i] = values[near].sum(axis=1)
        return found

    def _reserve(self, more: int) -> None:
        """Room for so many new voxels."""
        wanted = self._size + more
        if wanted > len(self._keys):
            capacity = max(wanted, 2 * len(self._keys))
            self._keys = _grown(self._keys, self._size, capacity)
            self._sums = _grown(self._sums, self._size, capacity)
        if wanted > _FULL * len(self._table):
            length = 1 << math.ceil(math.log2(2 * wanted / _FULL))
            self._table = np.full(length, _EMPTY, np.int64)
            _fill(self._table, self._keys, self._size)


def _grown(array: Any, size: int, capacity: int) -> Any:
    larger = np.empty((capacity, *array.shape[1:]), array.dtype)
    larger[:size] = array[:size]
    return larger


def _pack(cells: npt.NDArray[np.float64]) -> Int64:
    x, y, z = (cells + _REACH).astype(np.int64).T
    packed: Int64 = (x << (2 * _BITS)) | (y << _BITS) | z
    return packed


@njit(cache=True)
def _slot(table, keys, key):  # type: ignore[no-untyped-def]
    """Where the key is in the table of indices, or the free place for it (linear probing)."""
    mask = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(20)) & mask
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True)
def _fill(table, keys, size):  # type: ignore[no-untyped-def]
    for i in range(size):
        table[_slot(table, keys, keys[i])] = i


@njit(cache=True)
def _find(keys, wanted, offsets, table):  # type: ignore[no-untyped-def]
    found = np.empty((len(wanted), len(offsets)), np.int64)
    for i in range(len(wanted)):
        for j in range(len(offsets)):
            found[i, j] = table[_slot(table, keys, wanted[i] + offsets[j])]
    return found


@njit(cache=True)
def _accumulate(new, values, table, keys, sums, size):  # type: ignore[no-untyped-def]
    """Add values (N, K) to the sums of their keys (N,); returns the number of voxels."""
    for i in range(len(new)):
        slot = _slot(table, keys, new[i])
        at = table[slot]
        if at < 0:
            at = size
            table[slot] = at
            keys[at] = new[i]
            sums[at] = 0.0
            size += 1
        sums[at] += values[i]
    return size
