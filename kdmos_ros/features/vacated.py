"""Vacated space: is the place of a past return seen through now? Then what was there has left.

See-through residuals look backwards: was a point's place free? A vehicle that drives ahead hides
its own next place from the sensor, so they say nothing of it. But the place that it has just left
is free now. This is Removert's test (Kim et al., IROS 2020), from the past to the newest scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_level, to_polar
from kdmos_ros.features.range_image import RangeImage
from kdmos_ros.features.slabs import NO_SLAB, slabs_of
from kdmos_ros.features.visibility import SEEN_THROUGH, VisibilitySpec, look_up
from kdmos_ros.scan import turned


@dataclass(frozen=True)
class Voxels:
    """One return for each occupied cell and height slab of a scan.

    Attributes:
        points: (V, 3) float32, sensor frame, metres.
        slab: (V,) uint8 height slab above the local ground of that scan.
    """

    points: npt.NDArray[np.float32]
    slab: npt.NDArray[np.uint8]


def take_voxels(
    points: npt.NDArray[np.float32],
    index: npt.NDArray[np.int64],
    cell: npt.NDArray[np.int32],
    height: npt.NDArray[np.float32],
    slabs: npt.NDArray[np.float32],
    n_cells: int,
) -> Voxels:
    """The voxels of a scan.

    Args:
        points: (N, 3) sensor frame; index: (P,) rows in the grid; cell: (P,) their cells.
        height: (N,) metres above the local ground; slabs: (S + 1,) edges.
    """
    return Voxels(*_first_points(points, index, cell, height, slabs, n_cells))


def vacated_share(
    voxels: Voxels,
    now_from_past: npt.NDArray[np.float32],
    image: RangeImage,
    grid: PolarGrid,
    spec: VisibilitySpec,
    mount: tuple[npt.NDArray[np.float32], np.float32],
    out: npt.NDArray[np.float32],
    touched: npt.NDArray[np.bool_],
) -> None:
    """Write the share of each cell's past voxels that are seen through now, by slab.

    Args:
        now_from_past: (4, 4) float32 between the sensor frames.
        image: range image of the newest scan.
        mount: (3, 3) R_base_sensor and height of the sensor, as `to_level` takes them.
        out: (n_cells, S) float32, zeros.
        touched: (n_cells,) bool out, see `motion_map`.
    """
    n = len(voxels.points)
    state = np.empty(n, np.uint8)
    near, far = np.empty((2, n), np.float32)
    look_up(
        image,
        now_from_past,
        voxels.points,
        spec.margin_m,
        spec.margin_per_m,
        state,
        near,
        far,
    )
    moved = turned(voxels.points, now_from_past[:3, :3]) + now_from_past[:3, 3]
    _share(grid.cells(*to_polar(to_level(moved, *mount))), voxels.slab, state, out, touched)


@njit(cache=True, nogil=True)
def _first_points(points, index, cell, height, slabs, n_cells):  # type: ignore[no-untyped-def]
    n_slabs = len(slabs) - 1
    taken = np.zeros(n_cells * n_slabs, np.bool_)
    found = slabs_of(height, slabs)
    kept = np.empty((len(index), 3), np.float32)
    slab = np.empty(len(index), np.uint8)
    n = 0
    for p in range(len(index)):
        i = index[p]
        k = found[i]
        if k == NO_SLAB:
            continue
        voxel = cell[p] * n_slabs + k
        if taken[voxel]:
            continue
        taken[voxel] = True
        for j in range(3):
            kept[n, j] = points[i, j]
        slab[n] = k
        n += 1
    return kept[:n].copy(), slab[:n].copy()


@njit(cache=True, nogil=True)
def _share(cell, slab, state, out, touched):  # type: ignore[no-untyped-def]
    count = np.zeros(out.shape, np.float32)
    for v in range(len(cell)):
        if cell[v] != OUTSIDE:
            count[cell[v], slab[v]] += 1
            if state[v] == SEEN_THROUGH:
                out[cell[v], slab[v]] += 1
                touched[cell[v]] = True
    for v in range(len(cell)):
        if cell[v] != OUTSIDE and count[cell[v], slab[v]] > 0:
            out[cell[v], slab[v]] /= count[cell[v], slab[v]]
            count[cell[v], slab[v]] = 0  # done: other voxels of the cell must not divide again
