"""The truth to score a bag by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.bag_reader import BagReader
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.semantickitti import LabelFolder


def bag_labels(folder: Path | None, bag: BagReader) -> LabelFolder | BagLabels:
    """Labels from a folder of files, or those that the bag carries itself.

    Raises:
        KdmosError: there are none, or not one file a scan.
    """
    from kdmos_ros.io.ground_truth import BagLabels
    from kdmos_ros.io.semantickitti import LabelFolder

    if folder is None:
        if not bag.has_ground_truth:
            raise KdmosError(f"{bag.path} carries no labels; give them with --labels DIR")
        return BagLabels(bag.path)
    labels = LabelFolder(folder)
    if len(labels) != bag.n_scans:
        raise KdmosError(
            f"{folder}: {len(labels)} label files, but {bag.path} has {bag.n_scans} scans"
            f" on {bag.cloud_topic}"
        )
    return labels
