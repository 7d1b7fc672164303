"""The motion map of a scan: filled column by column, handed over as the rows that are not zero.

Nine tenths of the cells know nothing of motion. The whole map is kept for the next scan, so that
megabytes need not be cleared, nor asked from the system, for each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


class MotionMap:
    """A map to fill, again and again.

    Attributes:
        values: (n_cells, M) float32, zeros but for what was written since `take`.
        touched: (n_cells,) bool: set it for each cell that is written to.
    """

    def __init__(self, n_cells: int, n_columns: int) -> None:
        self.values: Float32 = np.zeros((n_cells, n_columns), np.float32)
        self.touched: Bool = np.zeros(n_cells, np.bool_)

    def take(self) -> tuple[Float32, npt.NDArray[np.int64]]:
        """What was written, as `FeatureFrame` has it; the map is empty afterwards.

        Returns:
            (R, M) float32 rows, of which the first is zeros, and (n_cells,) int64, which of them
            each cell has.
        """
        rows, row = _take(self.values, self.touched)
        return rows, row


@njit(cache=True, nogil=True)
def _take(values, touched):  # type: ignore[no-untyped-def]
    n_cells, width = values.shape
    n = 1
    for c in range(n_cells):
        n += 1 if touched[c] else 0
    rows = np.zeros((n, width), np.float32)
    row = np.zeros(n_cells, np.int64)
    k = 1
    for c in range(n_cells):
        if touched[c]:
            for j in range(width):
                rows[k, j] = values[c, j]
                values[c, j] = 0
            row[c] = k
            touched[c] = False
            k += 1
    return rows, row
