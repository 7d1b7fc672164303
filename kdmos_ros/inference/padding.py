"""Few sizes for tensors whose number of rows changes with each scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Padding:
    """Rounds the number of rows up, so that a runtime sees few shapes.

    Runtimes keep memory, and some compiled code, for each shape they have seen: with a new one
    every scan, memory grows by the hour.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._buffer: npt.NDArray[Any] | None = None

    def __call__(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The rows and, behind them, others of the past or zeros, until the next call."""
        size = -(-len(rows) // self._step) * self._step
        if size == len(rows):
            return rows
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = np.zeros((size, *rows.shape[1:]), rows.dtype)
        self._buffer[: len(rows)] = rows
        return self._buffer[:size]
