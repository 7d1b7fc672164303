"""Reads back what the node, or `kdmos label`, has written into a bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.closing import Closing
from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import POINT_CLOUD, BagFile
from kdmos_ros.io.bag_reader import in_stamp_order
from kdmos_ros.labels import to_semantickitti
from kdmos_ros.pointcloud.codec import LABEL_FIELD, PROBABILITY_FIELD, read_labels


def labelled_topic(path: Path, wanted: str | None = None) -> str | None:
    """The topic with labelled clouds, or None if there is none.

    Args:
        wanted: one that the user names; it is the answer if it has labels.

    Raises:
        KdmosError: the bag cannot be read, or has several such topics.
    """
    with BagFile(path) as bag:
        clouds = [t.name for t in bag.topics if t.msgtype == POINT_CLOUD and t.count]
        found = [t for t in clouds if bag.cloud_fields(t) >= {LABEL_FIELD, PROBABILITY_FIELD, "x"}]
    if wanted is not None:
        name = "/" + wanted.strip("/")
        return name if name in found else None
    if len(found) > 1:
        raise KdmosError(f"{path}: several labelled topics, choose one: {', '.join(found)}")
    return found[0] if found else None


class LabelledClouds(Closing):
    """The labelled clouds of a bag in the order of their stamps; use it in a `with` statement.

    Raises:
        KdmosError: the bag cannot be read.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self._bag = BagFile(path)
        self._topic = topic
        self._messages = in_stamp_order(self._bag.messages([topic]))
        self._next = next(self._messages, None)

    def close(self) -> None:
        """Close the files."""
        self._bag.close()

    def __iter__(self) -> Iterator[tuple[int, Any, npt.NDArray[np.uint8]]]:
        """Stamp (ns), PointCloud2 and classes (N,) of each cloud."""
        for cloud in in_stamp_order(self._bag.messages([self._topic])):
            yield cloud.stamp_ns, cloud.message, read_labels(cloud.message)

    def read(self, index: int, stamp_ns: int, n_points: int) -> npt.NDArray[np.uint32]:
        """SemanticKITTI labels (N,) of the cloud of that stamp, zeros where it has no answer.

        Ask in the order of the stamps; `index` is not used.

        Raises:
            KdmosError: the answer has another number of points.
        """
        while self._next is not None and self._next.stamp_ns < stamp_ns:
            self._next = next(self._messages, None)
        if self._next is None or self._next.stamp_ns != stamp_ns:
            return np.zeros(n_points, np.uint32)
        labels = to_semantickitti(read_labels(self._next.message))
        if len(labels) != n_points:
            raise KdmosError(
                f"{self._bag.path}: {self._topic} at {stamp_ns} ns has {len(labels)} points, its"
                f" cloud {n_points}"
            )
        return labels
