"""Fits the student to labelled drives, with a teacher's logits if the recipe says so."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.config.recipe import DistilRecipe, Recipe
from kdmos_ros.train.data.stream import DriveStream
from kdmos_ros.train.data.teacher_logits import LogitsFolder
from kdmos_ros.train.data.training_drives import TrainingDrive
from kdmos_ros.train.data.training_samples import Batch, StudentReader
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT
from kdmos_ros.train.fitting.distillation import DISTILLATION, knowable
from kdmos_ros.train.fitting.initial_weights import first_student
from kdmos_ros.train.fitting.loop import run_steps
from kdmos_ros.train.fitting.losses import cross_entropy, lovasz_softmax
from kdmos_ros.train.networks.student import Student
from kdmos_ros.train.parallel.distributed import Team

# Of the first drives; what a model's normalisations see in them is theirs from then on.
_SCANS_TO_MEASURE = 200

__all__ = ["CHECKPOINT", "fit", "segmentation_terms", "student_loss"]


def fit(
    recipe: Recipe,
    drives: Sequence[TrainingDrive],
    folder: Path,
    logits: LogitsFolder | None = None,
    team: Team | None = None,
) -> Student:
    """Train a student and return the one with averaged weights, in evaluation mode.

    Args:
        recipe: what to train and how.
        drives: what to train from.
        folder: gets checkpoint.pt and log.jsonl; a checkpoint found there is continued.
        logits: a teacher's, needed if the recipe distils.
        team: the processes that train together; None: this one alone.
    """
    team = team or Team()
    torch.manual_seed(recipe.seed)
    config = recipe.student_config()
    reader = StudentReader(
        recipe.grid,
        recipe.features,
        logits if recipe.distil else None,
        recipe.fit.object_points,
        recipe.fit.weights_of_kinds(),
        knowable=recipe.distil is not None and recipe.distil.knowable,
        judged=frozenset(drive.name for drive in recipe.judged(drives)),
    )

    def stream(start: int) -> DriveStream:
        return DriveStream(
            drives, reader, recipe.fit.batch_size, recipe.seed, augment=recipe.augment,
            start=start, rank=team.rank, ranks=team.size, mix=recipe.fit.mix,
            lookahead=bool(recipe.features.visibility.future_lags_s),
        )  # fmt: skip

    if (folder / CHECKPOINT).exists():
        # What goes on takes its weights from its own checkpoint; where it began may be gone.
        untrained = Student(config)
    else:
        first = itertools.islice(stream(0), -(-_SCANS_TO_MEASURE // recipe.fit.batch_size))
        untrained = first_student(folder, recipe, first, keep=team.leads)
    student = run_steps(
        "student",
        untrained,
        lambda model, batch: student_loss(model, batch, recipe.fit, recipe.distil),
        stream,
        recipe.fit,
        folder,
        team,
    )
    assert isinstance(student, Student)
    return student


def segmentation_terms(
    logits: Tensor, labels: Tensor, plan: FitRecipe, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Cross-entropy and weighted Lovasz-softmax of (P, C) logits and (P,) labels and weights."""
    return {
        "cross_entropy": cross_entropy(logits, labels, plan.class_weights, weights),
        "lovasz": plan.lovasz * lovasz_softmax(logits, labels, weights),
    }


def student_loss(
    student: nn.Module, batch: Batch, plan: FitRecipe, distil: DistilRecipe | None
) -> dict[str, Tensor]:
    """The terms of the student's loss; the teacher's only for points that it judged."""
    logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
    terms = segmentation_terms(logits, batch.labels, plan, batch.weight)
    if distil is not None:
        if batch.teacher is None:
            raise ValueError("the recipe distils, but the batch has no teacher logits")
        if distil.knowable:
            judged, labels = knowable(batch.teacher, batch.labels)
        else:
            judged = torch.isfinite(batch.teacher).all(dim=1).nonzero().squeeze(1)
            labels = batch.labels.index_select(0, judged)
        settings = distil.settings()
        if batch.weight is not None and distil.loss == "wdcd":
            settings["point_weights"] = batch.weight.index_select(0, judged)
        terms["distil"] = distil.weight * DISTILLATION[distil.loss](
            logits.index_select(0, judged),
            batch.teacher.index_select(0, judged),
            labels,
            **settings,
        )
    return terms
