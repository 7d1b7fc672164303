"""Reads a network's weights from a file, as weights only: nothing in the file can run code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdmos_ros.errors import ModelError
from kdmos_ros.train.config.student_config import StudentConfig
from kdmos_ros.train.config.teacher_config import TeacherConfig
from kdmos_ros.train.networks.student import Student
from kdmos_ros.train.networks.teacher import Teacher


def load_student(path: Path, config: StudentConfig) -> Student:
    """A student with the weights of a file, in evaluation mode on the CPU.

    Args:
        path: what torch.save wrote of a state dict, or a checkpoint of `train.fit`, of which the
            averaged weights are taken.
        config: the shape that the weights have.

    Raises:
        ModelError: the file is missing, is not such a file or does not fit the shape.
    """
    student = Student(config)
    _fill(student, path, "student")
    return student.eval()


def mean_student(students: Sequence[Student]) -> Student:
    """A student whose weights are the mean of those of several (Wortsman et al., ICML 2022).

    Students that learned on from one another, on other data, err differently; their mean errs less
    than each. It is for such near ones only: means of the statistics of batch normalisations, too,
    would not fit weights that have little in common.

    Args:
        students: one or more of the same shape; not changed.
    """
    states = [student.state_dict() for student in students]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    student = Student(students[0].config)
    student.load_state_dict(mean)
    return student.eval()


def load_teacher(path: Path, config: TeacherConfig) -> Teacher:
    """A teacher with the weights of a file, as `load_student`."""
    teacher = Teacher(config)
    _fill(teacher, path, "teacher")
    return teacher.eval()


def starting_point(folder: Path, start_from: str) -> Path:
    """The path of a checkpoint that a recipe names relative to the folder of the run.

    Worked out on paper: the folder may not be there yet, which ../ through it would need.
    """
    return Path(os.path.normpath(folder / start_from))


def progress_of(path: Path, name: str, steps: int) -> tuple[int, float]:
    """Steps and seconds of the finished training of a network whose checkpoint is at path.

    Raises:
        ModelError: it has not been trained, or not to the end.
    """
    if not path.exists():
        raise ModelError(f"{path}: there is no trained {name} yet; run the stage {name} first")
    state = _load(path)
    if not isinstance(state, dict) or name not in state:
        raise ModelError(f"{path}: not a checkpoint of a {name}")
    step = int(state.get("step", 0))
    if step < steps:
        raise ModelError(
            f"{path}: the {name} has done {step} of {steps} steps; run the stage {name} again"
        )
    return step, float(state.get("seconds", 0.0))


def _fill(model: nn.Module, path: Path, name: str) -> None:
    state = _state_dict(_load(path), path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        detail = lines[0] if lines else str(error)
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise ModelError(f"{path}: weights do not fit the {name}: {detail}{more}") from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: not a file of plain weights") from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise ModelError(f"{path}: damaged, or not a file of weights") from error


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("averaged"), dict):
        prefix = "module."
        content = {
            name[len(prefix) :]: value
            for name, value in content["averaged"].items()
            if name.startswith(prefix)
        }
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path}: neither a state dict nor a training checkpoint")
    return content
