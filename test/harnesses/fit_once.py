"""A short training run as a process of its own: fit_once.py student|teacher DRIVES WORK.

Prints "saved N" after each checkpoint, so that a test knows when to kill it.
"""

import sys
from pathlib import Path

import torch

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.config.recipe import Recipe, TeacherRecipe
from kdmos_ros.train.config.teacher_config import WindowSpec
from kdmos_ros.train.data.training_drives import StoredDrive
from kdmos_ros.train.fitting import loop
from kdmos_ros.train.fitting.fit import fit
from kdmos_ros.train.fitting.teacher_stage import fit_teacher
from kdmos_ros.train.parallel.distributed import join_team

PLAN = FitRecipe(steps=9, warm_up_steps=2, checkpoint_every=3, mix=5, batch_size=2)
RECIPE = Recipe(
    name="tiny",
    seed=3,
    grid=PolarGrid(n_rho=48, n_phi=40, n_z=12),
    # Dropout draws random numbers in training: those must go on, too.
    student={"width": 0.25, "halo": 4, "encoder_widths": (8, 8), "dropblock": 0.2, "dropout": 0.2},
    fit=PLAN,
    teacher=TeacherRecipe(
        window=WindowSpec(lags_s=(0.2, 0.4)),
        network={"voxel_m": 2.0, "point_width": 8, "widths": (8, 8)},
        fit=PLAN,
    ),
)


def main(what: str, drives: Path, work: Path) -> None:
    torch.set_num_threads(1)
    save = loop.save_checkpoint

    def announced(path, step, *rest):
        save(path, step, *rest)
        print(f"saved {step}", flush=True)

    loop.save_checkpoint = announced
    stored = [StoredDrive(path) for path in sorted(drives.glob("*.npz"))]
    with join_team() as team:
        if what == "student":
            fit(RECIPE, stored, work, team=team)
        else:
            fit_teacher(RECIPE, stored, work, team)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
