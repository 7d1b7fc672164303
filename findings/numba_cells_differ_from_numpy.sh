#!/usr/bin/env bash
# The same lines put float32 points into other cells with numba than with numpy.
#
# Package: numba 0.68.1, numpy 2.2.6
# Expected: compiling a function does not change its results, at least not its types.
# Seen: numpy 2 keeps float32 when a Python number takes part; numba still goes to float64. Points
#   that lie on the grid of a sensor's resolution, as all of a LiDAR's ranges do, fall to the other
#   side of a cell border in a third of the cases where the two meet.
# Output seen:
#   x * 0.5        numpy float32   numba float64
#   floor(x / 0.1) differs for 652 of 2001 points (first: x = -99.9, -999 and -1000)
#   floor(x / 0.1) with the size as np.float32: differs for 0 of 2001
# Why it matters: a voxel or polar grid filled by a numba kernel and looked up with numpy (a
#   training set in numpy, a node in numba) misses up to a third of such points, by one cell. A test
#   against plain Python with random points does not find it. Pass sizes as np.float32, or cast to
#   float64 in both.
#
# Exit status: 0 as described, 1 changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numba
import numpy as np


def half(x):
    return x * 0.5


def cells(x, size):
    return np.floor(x / size)


compiled_half, compiled_cells = numba.njit(half), numba.njit(cells)
x = (np.arange(-1000, 1001) / 10).astype(np.float32)
types = half(x).dtype, compiled_half(x).dtype
print(f"x * 0.5        numpy {types[0]}   numba {types[1]}")
plain, compiled = cells(x, 0.1), compiled_cells(x, 0.1)
other = np.flatnonzero(plain != compiled)
first = other[0]
print(
    f"floor(x / 0.1) differs for {len(other)} of {len(x)} points "
    f"(first: x = {x[first]:.1f}, {plain[first]:.0f} and {compiled[first]:.0f})"
)
size = np.float32(0.1)
same_types = np.count_nonzero(cells(x, size) != compiled_cells(x, size))
print(f"floor(x / 0.1) with the size as np.float32: differs for {same_types} of {len(x)}")
as_described = types == (np.float32, np.float64) and len(other) > 200 and same_types == 0
sys.exit(0 if as_described else 1)
PYTHON
