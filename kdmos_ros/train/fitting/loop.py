"""The training loop of both networks: resumable to the bit, on one process or many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.data.stream import DriveStream, loader
from kdmos_ros.train.fitting.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    restore_random,
    save_checkpoint,
)
from kdmos_ros.train.fitting.training_record import Record, Silent
from kdmos_ros.train.parallel.distributed import Team

LOG_EVERY = 20
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Loss = Callable[[nn.Module, Any], dict[str, Tensor]]
"""(model, batch) -> its terms by name; their sum is minimised."""


def run_steps(
    name: str,
    model: nn.Module,
    loss: Loss,
    stream: Callable[[int], DriveStream],
    plan: FitRecipe,
    folder: Path,
    team: Team,
) -> nn.Module:
    """Train a model; returns the one with averaged weights, in evaluation mode.

    A run that is stopped at any time, and started again, ends with the weights of one that was
    not: the checkpoint holds weights, averages, optimiser and random numbers, and the data goes
    on with the batch that would have come next.

    Args:
        name: of the network: a key of the checkpoint, and shown.
        stream: gives the batches from the given number on.
        folder: gets checkpoint.pt, log.jsonl and tensorboard/; a checkpoint there is continued.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = team.device
    model.to(device)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(plan, step))
    parts = {name: model, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    mixed = device.type == "cuda" or plan.precision == "bf16"
    dtype = _AUTOCAST.get(plan.precision) if mixed else None
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    if scaler.is_enabled():
        parts["scaler"] = scaler
    step, seconds, random = load_checkpoint(folder / CHECKPOINT, parts, team)
    if step < plan.steps:
        record = Record(folder, name, step, plan.steps) if team.leads else Silent()
        shared = team.share(model)
        model.train()
        try:
            batches = loader(stream(step), plan.workers)
            restore_random(random, device)  # after whatever was drawn to get here
            started = time.monotonic() - seconds
            for batch in batches:
                batch = batch.to(device)
                with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                    terms = loss(shared, batch)
                    total = torch.stack(list(terms.values())).sum()
                optimizer.zero_grad()
                scaler.scale(total).backward()
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                averaged.update_parameters(model)
                step += 1
                record.step()
                seconds = time.monotonic() - started
                if step % LOG_EVERY == 0 or step == plan.steps:
                    values = {k: team.mean(v) for k, v in {"loss": total, **terms}.items()}
                    rate = float(schedule.get_last_lr()[0])
                    record.scalars(step, plan.steps, {**values, "rate": rate, "s": seconds})
                if step % plan.checkpoint_every == 0 or step == plan.steps:
                    save_checkpoint(folder / CHECKPOINT, step, seconds, parts, team)
                if step == plan.steps:
                    break
        finally:
            record.close()
        team.wait()
    result: nn.Module = averaged.module
    return result.eval()


def learning_rate(plan: FitRecipe, step: int) -> float:
    """Learning-rate factor: linear warm-up, then in each cycle a cosine down to 1 %."""
    length = plan.steps / plan.cycles
    first = step < length
    if first and step < plan.warm_up_steps:
        return (step + 1) / plan.warm_up_steps
    start = plan.warm_up_steps if first else length * (step // length)
    done = (step - start) / max(1, length * (step // length + 1) - start)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
