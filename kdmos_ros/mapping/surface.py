"""Normals of a map's points, and flat ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.mapping.voxel_table import VoxelTable

Float64 = npt.NDArray[np.float64]

# Voxels to either side that a plane is fitted to.
_REACH = 2
_FEWEST = 4
# Rows that are worked on at a time: the neighbours of each take memory.
_BLOCK = 50_000
# A normal no more than 15 degrees off the vertical: level ground, pavements, roofs.
_LEVEL = np.cos(np.radians(15.0))


def normals_and_planes(
    points: Float64,
    to_sensor: npt.NDArray[np.float32],
    table: VoxelTable,
    rows: npt.NDArray[np.int64],
) -> tuple[Float64, Float64]:
    """Normals (V, 3) and, for each point, the nearest place (V, 3) on the plane around it.

    Args:
        points: (V, 3) mean of each voxel; not finite where there is no structure.
        to_sensor: (V, 3) direction from which each was seen; normals point there.
        table: the V voxels.
        rows: (K,) those to work out; others, and those with too few neighbours, get NaN.
    """
    normals, flat = np.full((2, *points.shape), np.nan)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        near = table.neighbours(block, _REACH)
        known = (near >= 0) & np.isfinite(points[near]).all(axis=2)
        count = known.sum(axis=1)
        offset = np.where(known[..., None], points[near] - points[block][:, None], 0.0)
        mean = offset.sum(axis=1) / np.maximum(count, 1)[:, None]
        offset = np.where(known[..., None], offset - mean[:, None], 0.0)
        spread = np.einsum("nki,nkj->nij", offset, offset)
        normal = np.linalg.eigh(spread)[1][:, :, 0]
        side = np.sign(np.einsum("ni,ni->n", normal, to_sensor[block]))
        normal *= np.where(side == 0, 1, side)[:, None]
        normal[count < _FEWEST] = np.nan
        normals[block] = normal
        distance = np.einsum("ni,ni->n", mean, normal)
        flat[block] = points[block] + distance[:, None] * normal
    return normals, flat


def on_level_planes(points: Float64, normals: Float64, flat: Float64) -> Float64:
    """Points (V, 3), those of level surfaces moved onto the planes around them."""
    level = normals[:, 2] > _LEVEL
    return np.where(level[:, None], flat, points)
