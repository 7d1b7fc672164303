"""Fits the student to labelled drives; can be stopped and goes on from its last checkpoint."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdmos_ros.train.losses import cross_entropy, lovasz_softmax
from kdmos_ros.train.recipe import FitRecipe, Recipe
from kdmos_ros.train.samples import Batch, DriveSamples, loader
from kdmos_ros.train.student import Student

CHECKPOINT = "checkpoint.pt"


def fit(recipe: Recipe, drives: list[Path], folder: Path) -> Student:
    """Train a student and return the one with averaged weights, in evaluation mode.

    Args:
        recipe: what to train and how.
        drives: drive files to train from.
        folder: gets checkpoint.pt and log.jsonl; a checkpoint found there is continued.
    """
    torch.manual_seed(recipe.seed)
    plan = recipe.fit
    student = Student(recipe.student_config())
    averaged = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
    optimizer = torch.optim.AdamW(
        student.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(plan, step))
    parts = {"student": student, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    step = _resume(folder / CHECKPOINT, parts)
    # A resumed run draws other samples than the first one saw, not the same ones again.
    dataset = DriveSamples(
        drives, recipe.grid, recipe.features, plan.batch_size, recipe.seed + step
    )
    student.train()
    started = time.monotonic()
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        batches = iter(loader(dataset)) if step < plan.steps else iter(())
        for batch in batches:
            loss = _loss(student, batch, plan)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            averaged.update_parameters(student)
            step += 1
            if step % 20 == 0 or step == plan.steps:
                line = {"step": step, "loss": loss.item(), "s": time.monotonic() - started}
                print(json.dumps(line), file=log, flush=True)
                print(f"step {step}/{plan.steps} loss {line['loss']:.4f}", flush=True)
            if step % plan.checkpoint_every == 0 or step == plan.steps:
                _save(folder / CHECKPOINT, step, parts)
            if step == plan.steps:
                break
    result: Student = averaged.module
    return result.eval()


def _rate(plan: FitRecipe, step: int) -> float:
    """Learning-rate factor: linear warm-up, then in each cycle a cosine down to 1 %."""
    length = plan.steps / plan.cycles
    first = step < length
    if first and step < plan.warm_up_steps:
        return (step + 1) / plan.warm_up_steps
    start = plan.warm_up_steps if first else length * (step // length)
    done = (step - start) / max(1, length * (step // length + 1) - start)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _loss(student: Student, batch: Batch, plan: FitRecipe) -> torch.Tensor:
    logits = student(batch.point, batch.cell, batch.z_bin, batch.motion)
    loss = cross_entropy(logits, batch.labels, plan.class_weights)
    return loss + plan.lovasz * lovasz_softmax(logits, batch.labels)


def _save(path: Path, step: int, parts: dict) -> None:  # type: ignore[type-arg]
    temporary = path.with_suffix(".part")
    torch.save({"step": step, **{k: v.state_dict() for k, v in parts.items()}}, temporary)
    os.replace(temporary, path)


def _resume(path: Path, parts: dict) -> int:  # type: ignore[type-arg]
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
