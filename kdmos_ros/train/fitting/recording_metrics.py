"""Figures of a student on a labelled recording, by the code that the node and `kdmos eval` run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.train.config.recipe import Recipe
from kdmos_ros.train.export.model_package import write_model
from kdmos_ros.train.networks.student import Student

_KEPT = ("iou_moving", "precision", "recall", "scans", "by_object")


def recording_metrics(
    student: Student, recipe: Recipe, threshold: float, recordings: Mapping[str, Path], folder: Path
) -> dict[str, Any]:
    """Figures on recordings, each point for itself: without connections.

    Args:
        threshold: from which a point moves; chosen elsewhere, such as on held-out drives.
        recordings: name to a folder with the bag in bag/ and its labels in labels/.
        folder: gets the student as a model folder.

    Returns:
        For each name a part of what `Report.to_dict` gives.

    Raises:
        KdmosError: a recording cannot be read.
    """
    if not recordings:
        return {}
    # A model's threshold is never 0 or 1; those of hardly trained students may be.
    threshold = min(max(threshold, 0.005), 0.995)
    spec = ModelSpec(recipe.name, recipe.grid, recipe.features, moving_threshold=threshold)
    write_model(student, spec, folder)
    segmenter = Segmenter(folder, provider="cpu")
    segmenter.warm_up()
    figures: dict[str, Any] = {}
    for name, where in recordings.items():
        report = Report(segmenter.model_name, segmenter.provider)
        with open_bag(where / "bag", BagOptions()) as bag, LabelFolder(where / "labels") as labels:
            evaluate_bag(replay(bag, OnlineSegmenter(segmenter)), labels, report)
        content = report.to_dict()
        figures[name] = {key: content[key] for key in _KEPT}
    return figures
