"""A point cloud thinned out by voxels as it grows: memory follows the map, not the drive."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file

# Voxel coordinates are packed into one integer, 21 bits each.
_BITS = 21
_REACH = 1 << (_BITS - 1)
_EMPTY = -1
_FULL = 0.6
# Columns of the sums: x, y, z, intensity.
_N_SUMS = 4


class VoxelMap:
    """Means of the points in each voxel, in the order in which voxels were first hit.

    Args:
        voxel_m: edge of a voxel, metres.

    Attributes:
        scans: for the user: how many scans went in; kept by `save`.
    """

    def __init__(self, voxel_m: float) -> None:
        if not (math.isfinite(voxel_m) and voxel_m > 0):
            raise ValueError(f"voxel size must be above 0, got {voxel_m}")
        self.scans = 0
        self._voxel_m = voxel_m
        self._origin: npt.NDArray[np.float64] | None = None
        self._size = 0
        self._has_intensity = True
        self._keys = np.empty(1024, np.int64)
        self._counts = np.empty(1024, np.int64)
        self._sums = np.empty((1024, _N_SUMS), np.float64)
        self._table = np.full(4096, _EMPTY, np.int64)

    def __len__(self) -> int:
        return self._size

    def add(
        self,
        map_T_sensor: npt.NDArray[np.float64],
        points: npt.NDArray[np.float32],
        intensity: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Add points (N, 3) in the sensor frame, seen from a pose (4, 4); none that is not finite.

        Raises:
            KdmosError: a point is further from the first pose than voxels of this size can count.
        """
        finite = np.isfinite(points).all(axis=1)
        points = points[finite].astype(np.float64)
        if self._origin is None:
            # Near the first pose, so that maps in UTM coordinates are within reach too.
            self._origin = np.floor(map_T_sensor[:3, 3])
        local = points @ map_T_sensor[:3, :3].T + (map_T_sensor[:3, 3] - self._origin)
        cells = np.floor(local / self._voxel_m)
        if cells.size and np.abs(cells).max() >= _REACH:
            raise KdmosError(
                f"the map reaches further than {_REACH * self._voxel_m / 1000:.0f} km from its"
                " start: take larger voxels"
            )
        values = np.zeros((len(local), _N_SUMS))
        values[:, :3] = local
        if intensity is None:
            self._has_intensity = False
        else:
            values[:, 3] = intensity[finite]
        self._reserve(len(local))
        self._size = _accumulate(
            _pack(cells), values, self._table, self._keys, self._counts, self._sums, self._size
        )

    def points(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        """Means (V, 3) float64 in the map frame, and of the intensities (V,) float32 or None."""
        n = self._size
        means = self._sums[:n] / self._counts[:n, None]
        origin = np.zeros(3) if self._origin is None else self._origin
        intensity = means[:, 3].astype(np.float32) if self._has_intensity else None
        return means[:, :3] + origin, intensity

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on."""
        with new_file(path) as scratch:
            np.savez(
                scratch,
                keys=self._keys[: self._size],
                counts=self._counts[: self._size],
                sums=self._sums[: self._size],
                origin=np.zeros(0) if self._origin is None else self._origin,
                numbers=np.array([self._voxel_m, self.scans, self._has_intensity], np.float64),
            )

    @classmethod
    def load(cls, path: Path) -> VoxelMap:
        """A map as it was when saved.

        Raises:
            KdmosError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                content = {name: stored[name] for name in stored.files}
            voxel_m, scans, has_intensity = content["numbers"]
            made = cls(float(voxel_m))
            made.scans, made._has_intensity = int(scans), bool(has_intensity)
            made._origin = content["origin"] if content["origin"].size else None
            size = len(content["keys"])
            made._reserve(size)
            made._keys[:size] = content["keys"]
            made._counts[:size] = content["counts"]
            made._sums[:size] = content["sums"]
        except Exception as error:  # numpy and zipfile raise many kinds
            raise KdmosError(f"{path}: cannot be read: {error}") from error
        made._size = size
        _fill(made._table, made._keys, size)
        return made

    def _reserve(self, more: int) -> None:
        """Room for so many new voxels."""
        wanted = self._size + more
        if wanted > len(self._keys):
            capacity = max(wanted, 2 * len(self._keys))
            self._keys = _grown(self._keys, self._size, capacity)
            self._counts = _grown(self._counts, self._size, capacity)
            self._sums = _grown(self._sums, self._size, capacity)
        if wanted > _FULL * len(self._table):
            length = 1 << math.ceil(math.log2(2 * wanted / _FULL))
            self._table = np.full(length, _EMPTY, np.int64)
            _fill(self._table, self._keys, self._size)


def _grown(array: Any, size: int, capacity: int) -> Any:
    larger = np.empty((capacity, *array.shape[1:]), array.dtype)
    larger[:size] = array[:size]
    return larger


def _pack(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    x, y, z = (cells + _REACH).astype(np.int64).T
    packed: npt.NDArray[np.int64] = (x << (2 * _BITS)) | (y << _BITS) | z
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
def _accumulate(new, values, table, keys, counts, sums, size):  # type: ignore[no-untyped-def]
    """Add values (N, 4) to the sums of their keys (N,); returns the number of voxels."""
    for i in range(len(new)):
        slot = _slot(table, keys, new[i])
        at = table[slot]
        if at < 0:
            at = size
            table[slot] = at
            keys[at] = new[i]
            counts[at] = 0
            sums[at] = 0.0
            size += 1
        counts[at] += 1
        sums[at] += values[i]
    return size
