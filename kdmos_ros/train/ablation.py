"""Students that differ in one thing each, with the same budget and the same held-out drives."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from kdmos_ros.errors import KdmosError
from kdmos_ros.train.config.overrides import as_settings
from kdmos_ros.train.config.recipe import load_recipe
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT
from kdmos_ros.train.fitting.drive_metrics import student_metrics
from kdmos_ros.train.fitting.metrics_file import (
    METRICS_FILE,
    headline,
    read_metrics,
    write_metrics,
)
from kdmos_ros.train.fitting.recording_metrics import recording_metrics
from kdmos_ros.train.networks.student import count_macs, count_parameters
from kdmos_ros.train.networks.weights import load_student, progress_of
from kdmos_ros.train.parallel.task_processes import in_processes
from kdmos_ros.train.stages import Run

_SHARED = ("data", "teacher")  # parts of the recipe that no row can change
_MACS_POINTS = 100_000


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        name, group: what it is called, and the table that it belongs to. Rows of one name, in
            several tables, are the same students.
        set: entries of the recipe that it changes, see `overrides.applied`.
        seeds: a student is trained with each.
    """

    name: str
    group: str
    set: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (1,)

    def student(self, seed: int) -> str:
        """Folder of one of its students in the work folder."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")
        return f"{slug}_{seed}"

    def settings(self, seed: int) -> dict[str, Any]:
        """What it changes, its seed among it."""
        return {**self.set, "seed": seed}


@dataclass(frozen=True)
class Plan:
    """A recipe and the variants of it.

    Attributes:
        recordings: name to a folder of a labelled recording to score on, too; see
            `recording_metrics`.

    Raises:
        ValueError: two rows of one name that are not the same, or a row without a seed.
    """

    recipe: Path
    rows: tuple[Row, ...]
    recordings: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first: dict[str, Row] = {}
        for row in self.rows:
            if not row.seeds:
                raise ValueError(f"row {row.name!r} has no seed")
            if first.setdefault(row.student(0), row).set != row.set:
                raise ValueError(f"two different rows are called {row.name!r}")

    def students(self) -> Iterator[tuple[Row, int]]:
        """Each variant with each of its seeds, once; every variant's first seed comes first."""
        each = {row.student(seed): (row, seed) for row in self.rows for seed in row.seeds}
        return iter(sorted(each.values(), key=lambda pair: pair[0].seeds.index(pair[1])))

    def command(self, row: Row, seed: int, work: Path) -> str:
        """What trains one student."""
        changes = " ".join(f"--set {shlex.quote(s)}" for s in as_settings(row.settings(seed)))
        return (
            f"kdmos train {self.recipe} {changes} --work {work.name}"
            f" --student {row.student(seed)} --stage student"
        )


def load_plan(path: Path) -> Plan:
    """Read a plan: `recipe`, a path relative to the plan, and `groups` of rows by name.

    `recordings`, if there are any, are folders by name, relative to the working directory as the
    sources of a recipe.

    Raises:
        KdmosError: unreadable, unknown entries, or a row that gives no usable recipe; names it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = [
            _row(name, group, row or {})
            for group, named in content["groups"].items()
            for name, row in named.items()
        ]
        _refuse_unknown(content, {"recipe", "groups", "recordings"})
        recordings = {k: Path(v) for k, v in content.get("recordings", {}).items()}
        plan = Plan(path.parent / content["recipe"], tuple(rows), recordings)
    except OSError as error:
        raise KdmosError(f"{path}: cannot read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise KdmosError(f"{path}: not a plan of an ablation: {error!r}") from error
    for row, seed in plan.students():
        if shared := [key for key in row.set if key.split(".")[0] in _SHARED]:
            raise KdmosError(
                f"{path}, {row.group}, {row.name}: all rows share drives and teacher, so that none"
                f" can set {', '.join(shared)}"
            )
        try:
            load_recipe(plan.recipe, row.settings(seed))
        except KdmosError as error:
            raise KdmosError(f"{path}, {row.group}, {row.name}: {error}") from error
    return plan


def _row(name: str, group: str, entries: dict[str, Any]) -> Row:
    # What is misspelt would change nothing, and the row would be another one's students.
    _refuse_unknown(entries, {"set", "seeds"})
    return Row(name, group, dict(entries.get("set") or {}), tuple(entries.get("seeds", (1,))))


def _refuse_unknown(entries: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(entries.keys() - known):
        raise ValueError(f"unknown: {', '.join(unknown)}")


def run_plan(plan: Plan, work: Path, jobs: int = 1) -> None:
    """Train and score every student of the plan that is not there yet.

    Drives, teacher and logits come first, and are shared.

    Args:
        jobs: students trained side by side; they share the cores.
    """
    shared = Run(load_recipe(plan.recipe), "", work, None)
    shared.simulate()
    shared.teacher()  # nothing, where the recipe has none
    shared.logits()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    tasks = [(plan, row, seed, work, threads) for row, seed in plan.students()]
    in_processes(train_and_score, tasks, jobs, "students", _tell)


def _tell(scored: tuple[str, str]) -> None:
    name, figures = scored
    print(f"{name}: {figures}", flush=True)


def train_and_score(plan: Plan, row: Row, seed: int, work: Path, threads: int) -> tuple[str, str]:
    """Train one student and write its figures beside its checkpoint; returns its name and them."""
    torch.set_num_threads(threads)
    recipe = load_recipe(plan.recipe, row.settings(seed))
    name = row.student(seed)
    run = Run(recipe, plan.command(row, seed, work), work, None, student_name=name)
    run.run("student")
    checkpoint = run.student_folder / CHECKPOINT
    if not _is_newer(run.student_folder / METRICS_FILE, checkpoint):
        student = load_student(checkpoint, recipe.student_config())
        steps, seconds = progress_of(checkpoint, "student", recipe.fit.steps)
        scored = student_metrics(student, run.drives.held_out(), recipe.grid, recipe.features)
        metrics = {
            **scored,
            "recordings": recording_metrics(
                student, recipe, scored["threshold"], plan.recordings, run.student_folder / "model"
            ),
            "parameters": count_parameters(student),
            "macs": count_macs(student, _MACS_POINTS),
            "steps": steps,
            "minutes": seconds / 60,
        }
        write_metrics(run.student_folder, metrics)
    return name, headline(read_metrics(run.student_folder))


def _is_newer(path: Path, than: Path) -> bool:
    """Whether a file that was made from another is there and not older than that."""
    return path.exists() and path.stat().st_mtime >= than.stat().st_mtime
