"""A trained teacher that only judges: one window at a time, in any thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.errors import KdmosError
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.train.config.teacher_config import WindowSpec
from kdmos_ros.train.data.teacher_window import Window
from kdmos_ros.train.fitting.metrics_file import METRICS_FILE, read_metrics
from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher, find_teacher, read_teacher
from kdmos_ros.train.networks.folding import folded

Float32 = npt.NDArray[np.float32]

# No teacher was shown the body of its own vehicle: what is so near is the student's to judge.
_NEAREST_M = 2.0


class JudgingTeacher:
    """What a teacher makes of windows.

    It multiplies in bfloat16 where the CPU does that fastest (AMX): two thirds of the time, and a
    point in thousands on the other side of the threshold.

    Args:
        folder: of the teacher, or the name of the one that ships.

    Attributes:
        name: for people; source: tells it from all others.
        window: what it sees.
        threshold: of its moving probability, by its validation.

    Raises:
        KdmosError: the teacher is missing or damaged, or nothing tells its threshold.
    """

    def __init__(self, folder: str) -> None:
        place = find_teacher(folder)
        teacher = read_teacher(place)
        self.name, self.source = place.name, teacher.source
        self.window: WindowSpec = teacher.window
        self.threshold = _threshold(place, teacher)
        self._network = folded(teacher.network)
        self._bf16 = _multiplies_bf16()

    @torch.no_grad()
    def probabilities(self, window: Window, n_points: int) -> Float32:
        """Probabilities (N, 3) of static, movable and moving; NaN where it has no opinion.

        Args:
            n_points: N, of the scan that the window is made for.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            logits = self._network(
                torch.from_numpy(window.points),
                torch.from_numpy(window.time),
                torch.from_numpy(window.features),
            )
        told = np.full((n_points, MOVING - UNLABELLED), np.nan, np.float32)
        known = np.hypot(*window.points[: len(window.index), :2].T) >= _NEAREST_M
        share = torch.softmax(logits[:, UNLABELLED + 1 :].float(), dim=1).numpy()
        told[window.index[known]] = share[known]
        return told


def _multiplies_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # an older PyTorch
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _threshold(folder: Path, teacher: TrainedTeacher) -> float:
    """Of the moving probability, by the teacher's validation."""
    metrics = read_metrics(folder)
    if metrics.get("teacher") != teacher.source:
        raise KdmosError(
            f"{folder / METRICS_FILE}: no figures of this teacher, so its threshold is not known; "
            "run the stage teacher of its recipe again"
        )
    return float(metrics["threshold"])
