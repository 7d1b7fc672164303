"""Clusters of points by the cells of a horizontal grid: connected components. Free of ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Cells that touch, also by a corner, are one cluster: gaps of up to half a metre are bridged.
CELL_M = 0.5
MIN_POINTS = 5
_NEIGHBOURS = ((1, 0), (-1, 1), (0, 1), (1, 1))  # the other four are these seen from there


@dataclass(frozen=True)
class Cluster:
    """Points (N, 3) float64 that belong together, metres."""

    points: npt.NDArray[np.float64]

    @property
    def place(self) -> npt.NDArray[np.float64]:
        """(2,) one position for the cluster: midway between mean and middle of the extent.

        The mean moves with the density of points, the extent's middle with single points.
        """
        flat = self.points[:, :2]
        middle: npt.NDArray[np.float64] = (flat.min(axis=0) + flat.max(axis=0)) / 2
        return (flat.mean(axis=0) + middle) / 2

    @property
    def direction(self) -> float:
        """Direction of the longest spread, radians in (-pi/2, pi/2]."""
        flat = self.points[:, :2] - self.points[:, :2].mean(axis=0)
        _, vectors = np.linalg.eigh(flat.T @ flat)
        x, y = vectors[:, -1]
        return float(np.arctan2(y, x) if x > 0 or (x == 0 and y > 0) else np.arctan2(-y, -x))

    def box(self, yaw: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Centre (3,) and size (3,) of the box in direction yaw around the points."""
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])  # T_fixed_box
        local = self.points @ rotation
        low, high = local.min(axis=0), local.max(axis=0)
        return rotation @ ((low + high) / 2), high - low


def find_clusters(points: npt.NDArray[np.float64], min_points: int = MIN_POINTS) -> list[Cluster]:
    """Clusters of points (N, 3), largest first; fewer than min_points are no cluster."""
    if len(points) < min_points:
        return []
    component = cluster_of_each(points)
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order])) + 1
    groups = [group for group in np.split(order, starts) if len(group) >= min_points]
    groups.sort(key=len, reverse=True)
    return [Cluster(points[group].astype(np.float64)) for group in groups]


def cluster_of_each(points: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Number (N,) of the cluster of each of N points, 0 upwards without gaps.

    Args:
        points: (N, 2 or more), finite, metres; x and y alone count.
    """
    cell_of_point, n_cells, touching = cells_of(points)
    _, number = np.unique(_components(n_cells, touching), return_inverse=True)
    return number.astype(np.int64)[cell_of_point]


def cells_of(
    points: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.int64], int, npt.NDArray[np.int64]]:
    """The cells of a grid of CELL_M that points are in, and which of them touch.

    Args:
        points: (N, 2 or more), finite, metres; x and y alone count.

    Returns:
        The cell (N,) of each point, 0..K-1; K; and (2, E) pairs of cells that touch.
    """
    if not len(points):
        return np.empty(0, np.int64), 0, np.empty((2, 0), np.int64)
    cells = np.floor(points[:, :2] / CELL_M).astype(np.int64)
    cells -= cells.min(axis=0)
    stride = int(cells[:, 1].max()) + 3
    # Column 0 stays empty, so that a neighbour's key never wraps into the next row.
    keys, cell_of_point = np.unique(cells[:, 0] * stride + cells[:, 1] + 1, return_inverse=True)
    pairs = []
    for row, column in _NEIGHBOURS:
        wanted = keys + row * stride + column
        found = np.searchsorted(keys, wanted)
        hit = (found < len(keys)) & (keys[np.minimum(found, len(keys) - 1)] == wanted)
        pairs.append(np.stack([np.flatnonzero(hit), found[hit]]))
    return cell_of_point.astype(np.int64), len(keys), np.concatenate(pairs, axis=1)


def _components(n_cells: int, touching: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number (K,) of the component of each cell, given the pairs (2, E) that touch.

    Every cell takes the lowest number around it until nothing changes; following the numbers
    doubles the reach of each round, so that few rounds do.
    """
    a, b = touching
    number = np.arange(n_cells)
    while True:
        lowest = number.copy()
        np.minimum.at(lowest, a, number[b])
        np.minimum.at(lowest, b, number[a])
        lowest = lowest[lowest]
        if np.array_equal(lowest, number):
            return number
        number = lowest
