"""`kdmos train`: make a model from a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "train",
        help="make a model from a recipe",
        description="Simulate the drives of a recipe, train its teacher and let it label them, "
        "train the student, choose the threshold on held-out simulated drives and export it. "
        "Run it again to continue a run that was stopped. torchrun -m kdmos_ros.cli train ... runs "
        "it on several GPUs, or on machines that share a work folder.",
    )
    parser.add_argument("recipe", help="name of a shipped recipe, or a YAML file as config/train/")
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for drives, checkpoints and logs",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="model to write (the stages all and export)"
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="train on this instead of the data in the recipe: a data set, sequence folder, bag or"
        " folder of drive files; may be given more than once",
    )
    parser.add_argument(
        "--stage",
        default="all",
        choices=("all", "simulate", "teacher", "logits", "student", "export"),
        help="run only this stage; earlier stages must have run (default: all)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change an entry of the recipe, as in --set distil.loss=kl --set seed=2",
    )
    parser.add_argument(
        "--student",
        default="",
        metavar="NAME",
        help="keep the student in this folder of the work folder: several students, each with its"
        " own changes, share drives, teacher and logits",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    # Read by OpenMP when torch is imported: waiting threads that spin make every step many times
    # slower as soon as anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Before PyTorch, which takes long to import: a wrong recipe is said at once.
    from kdmos_ros.train.config import overrides
    from kdmos_ros.train.config.recipe import find_recipe, load_recipe

    recipe = load_recipe(find_recipe(args.recipe), overrides.parse(args.set))
    from kdmos_ros.train.parallel.distributed import join_team
    from kdmos_ros.train.stages import train

    stage = "" if args.stage == "all" else f" --stage {args.stage}"
    paths = [path for path in args.data if path]  # "" is the launch file's way to say none
    data = "".join(f" --data {path}" for path in paths)
    changes = "".join(f" --set {shlex.quote(setting)}" for setting in args.set)
    out = f" --out {args.out}" if args.out else ""
    student = f" --student {args.student}" if args.student else ""
    command = (
        f"kdmos train {args.recipe}{data}{changes} --work {args.work.name}{student}{out}{stage}"
    )
    if paths:
        recipe = dataclasses.replace(recipe, data=recipe.data.only(paths))
    with join_team() as team:
        train(recipe, command, args.work, args.out, args.stage, team, args.student)
    return 0
