"""A cloud message on its way through the pipeline, and with its labels."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.pointcloud.layout import Layout
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation


@dataclass(frozen=True)
class Labelled:
    """A cloud message and its labels, one a point; see Segmentation.

    Attributes:
        layout: of the message.
        scan: what was labelled, None for a cloud without returns.
        epoch: changes whenever the history is cleared.
    """

    message: Any
    layout: Layout
    labels: npt.NDArray[np.uint8]
    moving_probability: npt.NDArray[np.float32]
    timings_ms: dict[str, float]
    scan: Scan | None = None
    epoch: int = 0


@dataclass(frozen=True)
class PendingCloud:
    """A cloud message whose labels are there, or come when those of `segmentation` do.

    Attributes:
        layout, scan, epoch: see Labelled.
        timings_ms: milliseconds of the stages before the segmenter.
    """

    message: Any
    layout: Layout
    timings_ms: dict[str, float]
    segmentation: Future[Segmentation]
    scan: Scan | None = None
    epoch: int = 0

    def labelled(self) -> Labelled:
        """With its labels; waits for them, and raises what the future holds."""
        result = self.segmentation.result()
        return Labelled(
            self.message,
            self.layout,
            result.labels,
            result.moving_probability,
            {**self.timings_ms, **result.timings_ms},
            self.scan,
            self.epoch,
        )
