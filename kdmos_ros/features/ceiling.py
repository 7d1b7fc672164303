"""A ceiling above the sensor: found in one scan and left out of the cells, so that it hides nobody.

Cells of the grid are columns. Indoors every column has the ceiling in it, always: its span of
heights never changes, its highest point is the ceiling's, and whoever walks below is lost in it.
Networks trained under the open sky do not know such columns. Without the ceiling, people indoors
look as they do outdoors.

A ceiling is a surface that ends what most directions see upwards, at one height over several rings:
what merely ends at the sensor's highest beam ends the higher the farther off it is. Crowns of trees
and fronts have no common height.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

# Metres above the ground; nobody stands under less. Points within _BELOW_M of it belong to it.
_LOWEST_M, _HIGHEST_M, _BELOW_M = 2.1, 15.0, 0.25
# Where it is looked for: from so far above the sensor's horizon on, at these distances.
_SLOPE, _FARTHEST_M = math.tan(math.radians(8.0)), 20.0
_RING_M, _SECTORS, _BIN_M = 1.0, 36, 0.1
# Of the cells that see something up there so many must agree; at least so many of them, in so many
# sectors and over so many metres of distance.
_AGREEING, _CELLS, _SECTORS_SEEN, _DEPTH_M = 0.5, 30, 12, 2.0


def ceiling_height(height: Float32, above: Float32, rho: Float32, phi: Float32) -> np.float32:
    """Height above the ground from which on points are a ceiling's, metres; infinity: none is seen.

    Args:
        height: (N,) float32 of points above the local ground, metres; NaN without a return.
        above: (N,) above the sensor. rho, phi: (N,) polar coordinates below the sensor.
    """
    none = np.float32(np.inf)
    rows = np.flatnonzero((above > np.float32(_SLOPE) * rho) & (height > np.float32(_LOWEST_M)))
    rows = rows[(rho[rows] < _FARTHEST_M) & (height[rows] < _HIGHEST_M)]
    if len(rows) < _CELLS:
        return none
    sector = ((phi[rows] / (2 * math.pi) + 0.5) * _SECTORS).astype(np.intp) % _SECTORS
    cell = (rho[rows] / _RING_M).astype(np.intp) * _SECTORS + sector
    highest = np.zeros(int(_FARTHEST_M / _RING_M + 1) * _SECTORS, np.float32)
    np.maximum.at(highest, cell, height[rows])
    seen = np.flatnonzero(highest)
    ends = highest[seen]
    counts = np.bincount((ends / _BIN_M).astype(np.intp))
    around = np.convolve(counts, np.ones(3, np.intp), "same")
    best = (int(around.argmax()) + 0.5) * _BIN_M
    flat = np.abs(ends - best) < 1.5 * _BIN_M
    rings, sectors = np.divmod(seen[flat], _SECTORS)
    if len(rings) < max(_CELLS, _AGREEING * len(seen)):
        return none
    depth = np.ptp(np.percentile(rings, (10, 90))) * _RING_M
    if depth < _DEPTH_M or len(np.unique(sectors)) < _SECTORS_SEEN:
        return none
    return np.float32(np.median(ends[flat]) - _BELOW_M)
