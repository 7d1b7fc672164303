"""Points of objects for tests of figures by object."""

import numpy as np


def blob(n, x, y=0.0, width=0.4):
    """(n, 3) float32 points in a row along x, that touch by cells of 0.5 m."""
    xyz = np.zeros((n, 3), np.float32)
    xyz[:, 0] = x + np.linspace(0, width, n)
    xyz[:, 1] = y
    return xyz
