"""Whole objects instead of their surest points: a double threshold on the grid.

A network is sure of the front of a moving car, which stands where free space was seen, and less of
its side, which also stands where the car was before. What may well move and hangs together with
what surely does moves too. Hysteresis thresholding (Canny, PAMI 1986), with the cells of the
bird's-eye view in place of pixels; of one scan alone, so that nothing lags behind.

So that sure points do not carry along the parked car that they pass: where one object ends and
another begins the probability leaps, and a tenth of all that hangs together must be sure, else only
the sure points themselves move. Where the probability slopes from one to the other, they still do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.features.grid import PolarGrid

# Cells so far apart, in depth and in azimuth, are still neighbours: a return may be missing.
_REACH_M, _REACH_RAD = 0.4, math.radians(1.5)
# From one neighbour to the next the probability changes by no more within an object.
_LARGEST_STEP = np.float32(0.12)
_SURE_SHARE = 0.1


def evidence_of_motion(
    probability: npt.NDArray[np.float32],
    cell: npt.NDArray[np.int32],
    grid: PolarGrid,
    low: float | None,
) -> npt.NDArray[np.float32]:
    """What to compare with the threshold to tell whether a point moves.

    Points of a probability of at least `low` hang together if a chain of neighbouring cells that
    have such points leads from one to the other, the highest probabilities of a cell and the next
    being alike. Each of them takes the highest decile of the probabilities of all, where that is
    higher than its own.

    Args:
        probability: (P,) float32 of MOVING.
        cell: (P,) int32 cells of the grid, none of them outside.
        low: the low threshold, above 0; None: each point keeps its own probability, as points
            below it always do.

    Returns:
        (P,) float32, nowhere less than the probability.
    """
    if low is None:
        return probability
    objects = connected_objects(probability, cell, grid, low)
    return raised(probability, objects, objects.evidence)


@dataclass(frozen=True)
class ConnectedObjects:
    """Points of one scan that may well move, joined where they hang together.

    Attributes:
        rows: (M,) int64 points that belong to an object.
        number: (M,) int32 which one each belongs to, from 0.
        evidence: (n,) float32 of each object: the highest decile of its probabilities.
    """

    rows: npt.NDArray[np.int64]
    number: npt.NDArray[np.int32]
    evidence: npt.NDArray[np.float32]


def connected_objects(
    probability: npt.NDArray[np.float32],
    cell: npt.NDArray[np.int32],
    grid: PolarGrid,
    low: float,
) -> ConnectedObjects:
    """The objects of `evidence_of_motion`, which explains the arguments."""
    may_move = np.flatnonzero(probability >= np.float32(low))
    surest_first = may_move[np.argsort(-probability[may_move], kind="stable")]
    rings = max(1, round(_REACH_M / grid.d_rho))
    sectors = max(1, round(_REACH_RAD / grid.d_phi))
    highest = np.zeros(grid.n_cells, np.float32)
    # Backwards, so that each cell is left with its surest point's.
    highest[cell[surest_first[::-1]]] = probability[surest_first[::-1]]
    object_of_cell, n = _objects(highest, cell[surest_first], grid.n_phi, rings, sectors)
    number = object_of_cell[cell[surest_first]]
    evidence = _deciles(probability[surest_first], number, n)
    return ConnectedObjects(surest_first, number, evidence)


def raised(
    probability: npt.NDArray[np.float32],
    objects: ConnectedObjects,
    evidence: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Probabilities (P,), for points of objects no less than the evidence (n,) of their object."""
    result = probability.copy()
    own = probability[objects.rows]
    result[objects.rows] = np.maximum(own, evidence[objects.number])
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _objects(highest, cells, n_phi, rings, sectors):  # type: ignore[no-untyped-def]
    """Number of the object that each cell (n_cells,) int32 belongs to, from 0; how many there are.

    Args:
        highest: (n_cells,) probability; 0 in cells that belong to none, which have -1.
        cells: those that belong to one, in any order, each as often as may be.
    """
    n_rho = len(highest) // n_phi
    object_of = np.full(len(highest), -1, np.int32)
    queue = np.empty(len(cells), np.int32)
    n = 0
    for first in cells:
        if object_of[first] >= 0:
            continue
        queue[0], object_of[first] = first, n
        done, end = 0, 1
        while done < end:
            here = queue[done]
            row, column = divmod(here, n_phi)
            done += 1
            for r in range(max(row - rings, 0), min(row + rings, n_rho - 1) + 1):
                for c in range(column - sectors, column + sectors + 1):
                    near = r * n_phi + c % n_phi
                    if highest[near] == 0 or object_of[near] >= 0:
                        continue
                    if abs(highest[near] - highest[here]) <= _LARGEST_STEP:
                        queue[end], object_of[near] = near, n
                        end += 1
        n += 1
    return object_of, n


@njit(cache=True, nogil=True, error_model="numpy")
def _deciles(probability, number, n):  # type: ignore[no-untyped-def]
    """(n,) highest deciles of the objects that falling probabilities (M,) belong to."""
    size, seen = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for k in number:
        size[k] += 1
    decile = np.zeros(n, np.float32)
    for i in range(len(number)):
        k = number[i]
        if seen[k] < _SURE_SHARE * size[k]:
            decile[k] = probability[i]
        seen[k] += 1
    return decile
