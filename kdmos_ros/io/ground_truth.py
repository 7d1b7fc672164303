"""Per-point labels inside a bag: a cloud with one field, `label`, and the stamp of its scan.

The label is SemanticKITTI's: class id in the lower 16 bits, instance in the upper 16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.closing import Closing
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import BagError, BagFile
from kdmos_ros.io.bag_messages import cloud_message
from kdmos_ros.io.bag_reader import GROUND_TRUTH, in_stamp_order

_UINT32 = 6


def ground_truth_message(stamp_ns: int, frame: str, labels: npt.NDArray[np.uint32]) -> Any:
    """PointCloud2 with raw labels (N,) uint32 for the scan of that stamp."""
    return cloud_message(stamp_ns, frame, [("label", labels.astype(np.uint32))])


class BagLabels(Closing):
    """Reads the labels of a bag beside its clouds; ask in the order of the stamps."""

    def __init__(self, path: str | Path) -> None:
        # A file handle of its own: the clouds are read at the same time.
        self._bag = BagFile(path)
        self._messages = in_stamp_order(self._bag.messages([GROUND_TRUTH]))
        self._next = next(self._messages, None)

    def close(self) -> None:
        """Close the files."""
        self._bag.close()

    def read(self, index: int, stamp_ns: int, n_points: int) -> npt.NDArray[np.uint32]:
        """Raw labels (N,) uint32 of the scan of that stamp; `index` is not used.

        Raises:
            KdmosError: there are none for this scan, or of another number.
        """
        while self._next is not None and self._next.stamp_ns < stamp_ns:
            self._next = next(self._messages, None)
        where = f"{self._bag.path}: {GROUND_TRUTH} at {stamp_ns} ns"
        if self._next is None or self._next.stamp_ns != stamp_ns:
            raise KdmosError(f"{where}: no labels for this scan")
        labels = _labels_of(self._next.message, where)
        if len(labels) != n_points:
            raise KdmosError(f"{where}: {len(labels)} labels, but the scan has {n_points} points")
        return labels


def _labels_of(message: Any, where: str) -> npt.NDArray[np.uint32]:
    field = next((f for f in message.fields if f.name == "label"), None)
    n_points, step = int(message.height) * int(message.width), int(message.point_step)
    data = np.asarray(message.data)
    if (
        field is None
        or field.datatype != _UINT32
        or message.is_bigendian
        or step < field.offset + 4
        or len(data) != n_points * step
    ):
        raise BagError(f"{where}: not a cloud with a uint32 field 'label'")
    rows = data.reshape(n_points, step)[:, field.offset : field.offset + 4]
    return np.ascontiguousarray(rows).view("<u4").reshape(-1).astype(np.uint32, copy=False)
