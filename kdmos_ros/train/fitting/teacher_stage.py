"""Trains the teacher, and has it judge every scan once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.progress import long_task
from kdmos_ros.train.config.recipe import Recipe, TeacherRecipe
from kdmos_ros.train.data.stream import DriveStream
from kdmos_ros.train.data.teacher_logits import N_CLASSES, LogitsFolder, import_logits
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.data.window_samples import WindowBatch, WindowReader
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT
from kdmos_ros.train.fitting.drive_metrics import teacher_metrics
from kdmos_ros.train.fitting.fit import segmentation_terms
from kdmos_ros.train.fitting.loop import run_steps
from kdmos_ros.train.fitting.metrics_file import headline, read_metrics, write_metrics
from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher
from kdmos_ros.train.networks.teacher import Teacher
from kdmos_ros.train.networks.weights import load_teacher, starting_point
from kdmos_ros.train.parallel.distributed import Team


def fit_teacher(
    recipe: Recipe, drives: Sequence[TrainingDrive], folder: Path, team: Team | None = None
) -> Teacher:
    """Train the recipe's teacher and return the one with averaged weights.

    Args: as in `fit.fit`.
    """
    team = team or Team()
    plan = _teacher_recipe(recipe)
    torch.manual_seed(recipe.seed)

    def stream(start: int) -> DriveStream:
        return DriveStream(
            drives, WindowReader(plan.window), plan.fit.batch_size, recipe.seed,
            augment=recipe.augment, start=start, rank=team.rank, ranks=team.size,
            mix=plan.fit.mix,
        )  # fmt: skip

    def loss(teacher: nn.Module, batch: WindowBatch) -> dict[str, torch.Tensor]:
        logits = teacher(batch.points, batch.time, batch.features, batch.sample)
        return segmentation_terms(logits, batch.labels, plan.fit)

    start, config = plan.fit.start_from, plan.config()
    if start is None or (folder / CHECKPOINT).exists():  # as for the student
        untrained = Teacher(config)
    else:
        untrained = load_teacher(starting_point(folder, start), config)
    teacher = run_steps("teacher", untrained, loss, stream, plan.fit, folder, team)
    assert isinstance(teacher, Teacher)
    return teacher


def judge(teacher: TrainedTeacher, drive: LabelledDrive) -> list[npt.NDArray[np.float32]]:
    """The teacher's logits of each scan, (N, C) float32; NaN for points that it does not see."""
    result: list[npt.NDArray[np.float32]] = []
    for labelled, (sample, logits) in zip(drive.scans, teacher.judged(drive), strict=True):
        rows = np.full((len(labelled.labels), N_CLASSES), np.nan, np.float32)
        rows[sample.index] = logits.numpy()
        result.append(rows)
    return result


def score_teacher(
    teacher: TrainedTeacher,
    drives: Sequence[TrainingDrive],
    grid: PolarGrid,
    folder: Path,
    team: Team,
) -> dict[str, Any]:
    """Its figures on drives, kept in the folder's figures.json; {} if there are no drives."""
    if not drives:
        return {}
    metrics = read_metrics(folder)
    if metrics.get("teacher") != teacher.source:
        teacher.network.to(team.device)
        scored = teacher_metrics(teacher, drives, grid)
        metrics = {"teacher": teacher.source, **scored}
        write_metrics(folder, metrics)
    print(f"teacher: {headline(metrics)} on held-out drives")
    return metrics


def make_logits(
    teacher: TrainedTeacher, drives: Sequence[TrainingDrive], folder: Path, team: Team
) -> LogitsFolder:
    """Judge the drives that are not judged yet, shared out over the team."""
    logits = LogitsFolder(folder, teacher.source)
    teacher.network.to(team.device)
    # Shared out before asking what is there: the others are writing already.
    todo = [drive for drive in drives[team.rank :: team.size] if not logits.has(drive.name)]
    with long_task(len(todo), "logits") if team.leads else nullcontext() as bar:
        for drive in todo:
            content = drive.load()
            logits.write(content, drive.name, judge(teacher, content))
            if bar is not None:
                bar.update()
    team.wait()
    return logits


def import_all(
    external: Path, drives: Sequence[TrainingDrive], folder: Path, team: Team
) -> LogitsFolder:
    """Take over logits that another program made (`logits.import_logits`)."""
    logits = LogitsFolder(folder, f"imported from {external.name}")
    todo = [drive for drive in drives[team.rank :: team.size] if not logits.has(drive.name)]
    for drive in todo:
        content = drive.load()
        logits.write(content, drive.name, list(import_logits(external, content)))
    team.wait()
    return logits


def _teacher_recipe(recipe: Recipe) -> TeacherRecipe:
    if recipe.teacher is None:
        raise ValueError(f"recipe {recipe.name} has no teacher section")
    return recipe.teacher
