"""Labelled scans: the one form in which training and evaluation get data, whatever its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.scan import Scan


@dataclass(frozen=True)
class LabelledScan:
    """One scan with its truth.

    Attributes:
        scan: the sweep and its pose.
        labels: (N,) uint8 classes of kdmos_ros.labels; UNLABELLED points do not count.
        kind: (N,) uint8 of kdmos_ros.object_kinds.Kind; 0 where it is not known.
        name: what tells this scan from all others of its data set, e.g. "08/000123".
        speed: (N,) float32 m/s of the object of each point over ground, or None: not known.
        instance: (N,) int32 id of the object of each point, 0 where it has none; None: not known.
        logits: (N, C) float16 of a teacher, NaN where it has no opinion; None without a teacher.
        later: how many of the scans after it may be compared with it in training.
    """

    scan: Scan
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    name: str = ""
    speed: npt.NDArray[np.float32] | None = None
    instance: npt.NDArray[np.int32] | None = None
    logits: npt.NDArray[np.float16] | None = None
    later: int = 0

    def __post_init__(self) -> None:
        n = len(self.scan.points)
        if len(self.labels) != n or len(self.kind) != n:
            raise ValueError(f"{len(self.labels)} labels, {len(self.kind)} kinds for {n} points")


class Source(Protocol):
    """One drive: iterate it for its scans in time order, as often as needed.

    Attributes:
        name: of the sequence, bag or drive.
        base_T_sensor: (4, 4) mount of the sensor, or None where the data does not tell.
        labelled: whether there are labels; without, all points are UNLABELLED.
        where: the folder or file, for messages.
        sensor: kind of LiDAR, or empty where the data does not tell.
    """

    name: str
    base_T_sensor: npt.NDArray[np.float64] | None
    labelled: bool
    where: str
    sensor: str

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelledScan]: ...
