"""From a recipe to a model folder: simulate, fit, choose the threshold, export, write the card."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from kdmos_ros import __version__
from kdmos_ros.model import ModelSpec
from kdmos_ros.train.card import write_card
from kdmos_ros.train.fit import fit
from kdmos_ros.train.package import write_model
from kdmos_ros.train.recipe import Recipe
from kdmos_ros.train.simulate import VALIDATION_SEED, simulate_drives
from kdmos_ros.train.student import count_parameters
from kdmos_ros.train.validate import choose_threshold


def train(recipe: Recipe, command: str, work: Path, out: Path) -> dict[str, Any]:
    """Run every stage that is not done yet; returns the figures on simulated validation.

    Args:
        recipe: what to make.
        command: the command line, for the card.
        work: drives, checkpoint and log; a run that was stopped goes on from here.
        out: the model folder to write.
    """
    started = time.monotonic()
    drives = simulate_drives(recipe.data, work / "drives", recipe.data.drives, 0)
    held_out = simulate_drives(
        recipe.data, work / "validation", recipe.data.validation_drives, VALIDATION_SEED
    )
    student = fit(recipe, drives, work)
    threshold, everything, quiet = choose_threshold(
        student, held_out, recipe.grid, recipe.features, recipe.fit.false_alarms
    )
    figures: dict[str, Any] = everything.summary(threshold)
    figures["false_alarms_without_movers"] = quiet.summary(threshold)["false_positive_share"]
    training = {
        "command": command,
        "code": _code_version(),
        "recipe": recipe.to_dict(),
        "parameters": count_parameters(student),
        "minutes_of_last_run": round((time.monotonic() - started) / 60, 1),
        "cpu_cores": os.cpu_count(),
        "simulated_validation": figures,
    }
    spec = ModelSpec(
        name=recipe.name,
        grid=recipe.grid,
        features=recipe.features,
        moving_threshold=threshold,
        training=training,
    )
    write_card(write_model(student, spec, out), out)
    print(json.dumps(figures))
    return figures


def _code_version() -> str:
    """The version of the package and, in a git checkout, the commit: simulator and all."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # not a checkout, or no git
        return __version__
    return f"{__version__}, commit {commit}"
