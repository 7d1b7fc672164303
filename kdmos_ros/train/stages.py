"""From a recipe to a model folder, in stages that can also run one by one.

simulate: drives to learn from. teacher: fit the teacher. logits: have it judge every scan.
student: fit the student. export: choose the threshold, write the model and its card. Teacher and
logits are left out where the recipe does not distil. Each stage finds what the ones before left in
the work folder; a stage that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdmos_ros import __version__
from kdmos_ros.errors import KdmosError
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.io.atomic import new_file
from kdmos_ros.train.config.recipe import Recipe
from kdmos_ros.train.data.run_drives import RunDrives
from kdmos_ros.train.data.teacher_logits import LogitsFolder
from kdmos_ros.train.export.model_package import write_model
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT
from kdmos_ros.train.fitting.fit import fit
from kdmos_ros.train.fitting.initial_weights import earlier_student
from kdmos_ros.train.fitting.teacher_stage import (
    fit_teacher,
    import_all,
    make_logits,
    score_teacher,
)
from kdmos_ros.train.fitting.trained_teacher import (
    TrainedTeacher,
    find_teacher,
    read_teacher,
    rounded,
    save_teacher,
)
from kdmos_ros.train.fitting.validation import choose_threshold
from kdmos_ros.train.networks.student import Student, count_macs, count_parameters
from kdmos_ros.train.networks.weights import load_student, load_teacher, mean_student, progress_of
from kdmos_ros.train.parallel.distributed import Team
from kdmos_ros.train.reports.card import write_card
from kdmos_ros.train.reports.teacher_card import write_teacher_card

_MACS_POINTS = 100_000  # a scan of an HDL-64E
WEIGHTS = "weights.pt"
STAGES = ("simulate", "teacher", "logits", "student", "export")


class Run:
    """One recipe in one work folder; `drives` are those of it.

    Args:
        recipe: what to make.
        command: the command line, for the card.
        work: drives, teacher, logits, checkpoint and log.
        out: the model folder to write; only the export needs it.
        team: the processes that train together.
        student_name: folder in the work folder for this student's checkpoint and log, so that
            several students share drives, teacher and logits; empty: the work folder itself.
    """

    def __init__(
        self,
        recipe: Recipe,
        command: str,
        work: Path,
        out: Path | None,
        team: Team | None = None,
        student_name: str = "",
    ) -> None:
        self.recipe, self.command, self.work, self.out = recipe, command, work, out
        self.team = team or Team()
        self.student_folder = work / student_name
        self.drives = RunDrives(recipe.data, work, self.team)

    def run(self, stage: str = "all") -> dict[str, Any]:
        """Run a stage, or all; returns the figures of the export, if it ran.

        Raises:
            KdmosError: the recipe has no such stage, or one before it has not run.
        """
        if stage != "all" and stage not in STAGES:
            raise KdmosError(f"no stage {stage!r}; there are all, {', '.join(STAGES)}")
        if stage == "teacher" and self.recipe.teacher is None:
            raise KdmosError(f"recipe {self.recipe.name} has no teacher section")
        if stage == "logits" and self.recipe.distil is None:
            raise KdmosError(f"recipe {self.recipe.name} has no distil section")
        if stage in ("all", "export") and self.out is None:
            raise KdmosError("name the model folder to write: --out DIR")
        metrics: dict[str, Any] = {}
        for name in STAGES if stage == "all" else (stage,):
            metrics = getattr(self, name)() or {}
        return metrics

    def simulate(self) -> None:
        """Make the drives."""
        self.drives.to_learn_from()
        self.drives.held_out()

    def teacher(self) -> None:
        """Fit the teacher, unless the recipe has a trained one, and note how well it does."""
        plan = self.recipe.teacher
        if plan is None:
            return
        if plan.trained is None:
            drives = self.drives.to_learn_from()
            fit_teacher(self.recipe, drives, self.teacher_folder, self.team)
        held_out = self.drives.held_out()
        if self.team.leads:
            teacher = self._teacher()
            score_teacher(teacher, held_out, self.recipe.grid, self.teacher_folder, self.team)
            if plan.trained is None:
                save_teacher(teacher, self.teacher_folder)
                write_teacher_card(teacher, self.teacher_folder)
        self.team.wait()

    def logits(self) -> None:
        """Judge all drives by the teacher, or take over the logits of another one."""
        if self.recipe.distil is not None:
            self._logits()

    def student(self) -> None:
        """Fit the student."""
        logits = None if self.recipe.distil is None else self._logits(make=False)
        fit(self.recipe, self.drives.to_learn_from(), self.student_folder, logits, self.team)

    def export(self) -> dict[str, Any]:
        """Choose the threshold on held-out drives; write the model and its card."""
        assert self.out is not None
        recipe = self.recipe
        held_out = self.drives.held_out()
        if not self.team.leads:
            return {}
        steps, seconds = progress_of(self.student_folder / CHECKPOINT, "student", recipe.fit.steps)
        student = self._shipped()
        validation = choose_threshold(
            student.to(self.team.device), held_out, recipe.grid, recipe.features,
            recipe.fit.false_alarms, recipe.fit.connected_threshold, recipe.fit.moving_threshold,
        )  # fmt: skip
        metrics = validation.metrics()
        training = {
            **self._how(steps, seconds, student),
            "macs": count_macs(student, _MACS_POINTS),
            "macs_points": _MACS_POINTS,
            "simulated_validation": metrics,
        }
        spec = ModelSpec(
            name=recipe.name,
            grid=recipe.grid,
            features=recipe.features,
            moving_threshold=validation.threshold,
            connected_threshold=recipe.fit.connected_threshold,
            training=training,
        )
        write_card(write_model(student.cpu(), spec, self.out), self.out)
        print(json.dumps(metrics))
        return metrics

    def _shipped(self) -> Student:
        """The student that ships; its weights are left in the student's folder, too."""
        folder = self.student_folder
        own = load_student(folder / CHECKPOINT, self.recipe.student_config())
        others = self.recipe.fit.averaged_with
        earlier = [earlier_student(folder, name, self.recipe) for name in others]
        student = mean_student([own, *earlier])
        with new_file(folder / WEIGHTS) as part:
            torch.save(student.state_dict(), part)
        return student

    @property
    def teacher_folder(self) -> Path:
        """Where the teacher's checkpoint and log are."""
        return self.work / "teacher"

    def _logits(self, make: bool = True) -> LogitsFolder:
        recipe, folder = self.recipe, self.work / "logits"
        assert recipe.distil is not None
        drives = recipe.judged(self.drives.to_learn_from())
        if recipe.distil.external is not None:
            external = self.work / recipe.distil.external
            return import_all(external, drives if make else [], folder, self.team)
        return make_logits(self._teacher(), drives if make else [], folder, self.team)

    def _teacher(self) -> TrainedTeacher:
        plan, checkpoint = self.recipe.teacher, self.teacher_folder / CHECKPOINT
        assert plan is not None
        if plan.trained is not None:
            return read_teacher(find_teacher(plan.trained))
        steps, seconds = progress_of(checkpoint, "teacher", plan.fit.steps)
        network = rounded(load_teacher(checkpoint, plan.config()))
        return TrainedTeacher(network, plan.window, self._how(steps, seconds, network))

    def _how(self, steps: int, seconds: float, network: nn.Module) -> dict[str, Any]:
        """How a network was made, for its specification and card."""
        return {
            "command": self.command,
            "code": _code_version(),
            "recipe": self.recipe.to_dict(),
            "parameters": count_parameters(network),
            "steps": steps,
            "minutes": round(seconds / 60, 1),
            "cpu_cores": os.cpu_count(),
            "device": _device_name(self.team),
        }


def train(
    recipe: Recipe,
    command: str,
    work: Path,
    out: Path | None,
    stage: str = "all",
    team: Team | None = None,
    student_name: str = "",
) -> dict[str, Any]:
    """Run a stage of a recipe, or all of them; see `Run`."""
    return Run(recipe, command, work, out, team, student_name).run(stage)


def _device_name(team: Team) -> str:
    if team.device.type != "cuda":
        return "no GPU"
    return f"{team.size} x {torch.cuda.get_device_name(team.device)}"


def _code_version() -> str:
    """The version of the package and, in a git checkout, the commit: simulator and all."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # not a checkout, or no git
        return __version__
    return f"{__version__}, commit {commit}"
