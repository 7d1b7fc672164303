"""Checkpoints: everything that decides the rest of a run, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from kdmos_ros.errors import KdmosError
from kdmos_ros.train.parallel.distributed import Team

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(
    path: Path, step: int, seconds: float, parts: dict[str, Any], team: Team
) -> None:
    """Write a checkpoint; all processes must call it, the first one writes.

    Args:
        step: steps done.
        seconds: time that they took, over all runs.
        parts: objects with state_dict() and load_state_dict().
    """
    random = team.gather(_random_state(team.device))
    if not team.leads:
        return
    state = {name: part.state_dict() for name, part in parts.items()}
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        torch.save({"step": step, "seconds": seconds, "random": random, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path: Path, parts: dict[str, Any], team: Team) -> tuple[int, float, Any]:
    """Put a checkpoint's content into the parts.

    Returns:
        Steps done, seconds that they took, and the state for `restore_random` (None in files
        that have none). 0 steps if there is no file.

    Raises:
        KdmosError: it is not a checkpoint, or one of another network.
    """
    if not path.exists():
        return 0, 0.0, None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = int(state["step"])
    except KeyError as error:
        raise KdmosError(f"{path}: not a checkpoint of this kind: it has no {error}") from error
    except (OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, TypeError) as error:
        raise KdmosError(f"{path}: damaged, or not a checkpoint: {error}") from error
    except (RuntimeError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise KdmosError(f"{path}: does not fit this recipe: {what}") from error
    random = state.get("random")
    if random is not None and len(random) != team.size:
        raise KdmosError(
            f"{path}: from {len(random)} processes, so it cannot continue with {team.size}"
        )
    return step, float(state.get("seconds", 0.0)), random and random[team.rank]


def restore_random(state: Any, device: torch.device) -> None:
    """Go on with the random numbers of a checkpoint; nothing if it has none."""
    if state is None:
        return
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state
