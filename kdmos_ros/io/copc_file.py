"""Writes LAS records as a cloud-optimised file (COPC 1.0): a viewer reads only what it shows.

An octree: each node holds at most one point for each cell of a grid of 128 per side, what is left
goes to its children.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CELLS = 128  # a side of a node
_DEEPEST = 12  # there, all that is left stays


def write_copc(path: Path, las: Any) -> None:
    """Write a laspy.LasData of point format 6 or 7, without its extra dimensions.

    Raises:
        ModuleNotFoundError: copclib is not installed.
    """
    import copclib

    header = las.header
    xyz = np.column_stack([las.x, las.y, las.z]).reshape(-1, 3)
    low, high = (xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else (np.zeros(3), np.zeros(3))
    half = max(float((high - low).max()) / 2, 1.0)
    centre = (low + high) / 2
    config = copclib.CopcConfigWriter(
        header.point_format.id, copclib.Vector3(*header.scales), copclib.Vector3(*header.offsets)
    )
    config.las_header.min, config.las_header.max = copclib.Vector3(*low), copclib.Vector3(*high)
    info = config.copc_info
    info.center_x, info.center_y, info.center_z = map(float, centre)
    info.halfsize, info.spacing = half, 2 * half / _CELLS
    writer = copclib.FileWriter(str(path), config)
    point_format = header.point_format
    whole = np.ascontiguousarray(las.points.array).view(np.int8).reshape(-1, point_format.size)
    raw = whole[:, : point_format.num_standard_bytes]
    share = np.clip((xyz - (centre - half)) / (2 * half), 0, np.nextafter(1, 0))
    for key, rows in octree(share):
        data = copclib.VectorChar(raw[rows].ravel())
        writer.AddNode(copclib.VoxelKey(*key), data)
    writer.Close()


def octree(
    share: npt.NDArray[np.float64],
) -> list[tuple[tuple[int, int, int, int], npt.NDArray[np.int64]]]:
    """Nodes (depth, x, y, z) and the rows of their points; each point is in one.

    Args:
        share: (N, 3) where the points are in the cube, 0 <= share < 1.
    """
    nodes = []
    left = np.arange(len(share))
    for depth in range(_DEEPEST + 1):
        if not len(left):
            break
        taken = np.ones(len(left), bool)
        if depth < _DEEPEST:
            cells = np.floor(share[left] * (_CELLS << depth)).astype(np.int64)
            taken = np.zeros(len(left), bool)
            taken[np.unique(_number(cells), return_index=True)[1]] = True
        rows, left = left[taken], left[~taken]
        key = np.floor(share[rows] * (1 << depth)).astype(np.int64)
        order = np.argsort(_number(key), kind="stable")
        rows, key = rows[order], key[order]
        starts = np.flatnonzero(np.diff(_number(key), prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            x, y, z = map(int, key[start])
            nodes.append(((depth, x, y, z), rows[start:stop]))
    return nodes


def _number(cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number for each cell (N, 3) of at most 2**20 a side."""
    return (cells[:, 0] << 2 * 20) | (cells[:, 1] << 20) | cells[:, 2]
